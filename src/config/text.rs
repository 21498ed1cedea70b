//! Values and places as messages show them.

use toml::Value;

/// Line number (from 1) of a byte offset.
pub fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|&&b| b == b'\n').count() + 1
}

/// A value as it would stand in the file; a long list or a section is cut short.
pub fn shown(value: &Value) -> String {
    cut(&value.to_string())
}

/// A text as a message shows it: its first 80 characters.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_string(),
    }
}
