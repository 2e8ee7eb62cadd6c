//! Differences of template syntax that are settled before the engine reads a template: Jinja2 normalises line ends, and
//! transformers adds the `generation` block, which for text is a plain scope.

/// The template with `{% generation %}` as `{% with %}`.
pub fn adapt(source: &str) -> Result<String, String> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::new();
    let mut rest = source.as_str();
    while let Some(at) = rest.find("{%").into_iter().chain(rest.find("{#")).min() {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("{#") {
            let Some(end) = rest.find("#}") else { return Err("Missing end of comment tag".into()) };
            out.push_str(&rest[..end + 2]);
            rest = &rest[end + 2..];
            continue;
        }
        let name_at = 2 + rest[2..].len() - rest[2..].trim_start_matches(['-', '+', ' ', '\t', '\n']).len();
        let name: String = rest[name_at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let size = name_at + name.len();
        let replaced = match name.as_str() {
            "generation" => "with",
            "endgeneration" => "endwith",
            _ => name.as_str(),
        };
        out.push_str(&rest[..name_at]);
        out.push_str(replaced);
        rest = &rest[size..];
        if name == "raw" {
            let end = rest.find("endraw").unwrap_or(rest.len());
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    Ok(out)
}
