/// The release in the value of a variable: its first line that is not blank.
pub(crate) fn release_in(value: &str) -> Option<String> {
    first_line(value.as_bytes(), true).map(str::to_owned)
}

/// The first line that is not blank, without the blanks around it and without a byte order mark before it.
///
/// `None` for blank text, for a line that is not UTF-8, and for one that goes on beyond the bytes (not `complete`).
pub(crate) fn first_line(bytes: &[u8], complete: bool) -> Option<&str> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let (text, ends_here) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, complete),
        // What follows the first line may be anything.
        Err(error) => (std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?, false),
    };
    let text = text.trim_start_matches(is_blank);
    match text.find(['\n', '\r']) {
        Some(end) => usable(&text[..end]),
        None if ends_here => usable(text),
        None => None,
    }
}

/// The text without the blanks around it, unless nothing is left.
pub(crate) fn usable(text: &str) -> Option<&str> {
    Some(text.trim_matches(is_blank)).filter(|text| !text.is_empty())
}

/// What Python's `str.strip` takes away, so that a file means the same to both: white space and the four separators.
///
/// A zero-width space is neither in Python nor here; it stays.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}
