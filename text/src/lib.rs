//! Tokenizers, stream decoding, chat templates and grammars for Drover, reached only through the C interface in `abi`.
//! Everything read here is untrusted: sizes are capped before work is done, and panics stop at the interface.

mod abi;
mod access;
mod arguments;
mod budget;
mod byte_bpe;
mod chat;
mod decode;
mod error;
mod expression;
mod filters;
mod formatting;
mod gguf;
mod globals;
mod grammar;
mod grammar_text;
mod grammar_tokens;
mod json;
mod literal;
mod methods;
mod operand;
mod operators;
mod printing;
mod python;
mod scalar;
mod scan;
mod sentencepiece;
mod statement;
mod syntax;
mod template;
mod tokenizer;
mod tokenizer_json;
