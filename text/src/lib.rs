//! Tokenizers, stream decoding and chat templates for Drover, reached only through the C interface in `abi`.
//! Everything read here is untrusted: sizes are capped before work is done, and panics stop at the interface.

mod abi;
mod byte_bpe;
mod chat;
mod decode;
mod error;
mod filters;
mod formatting;
mod gguf;
mod globals;
mod json;
mod methods;
mod python;
mod scalar;
mod sentencepiece;
mod syntax;
mod template;
mod tokenizer;
mod tokenizer_json;
