//! What is hidden where settings are shown. Better one too many than one too few: they are shown in logs.

/// Stands for what is hidden inside a text.
const MASK: &str = "***";

/// Does whoever names a value so mean a secret?
pub(crate) fn sounds_secret(name: &str) -> bool {
    const PARTS: [&str; 10] = [
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "pwd",
        "secret",
        "token",
        "credential",
        "signature",
        "dsn",
    ];
    let name: String = name
        .chars()
        .filter(|character| !matches!(character, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect();
    let is_key = || name.trim_end_matches('s').ends_with("key") && !name.contains("publickey");
    PARTS.iter().any(|part| name.contains(part))
        || name.ends_with("pass")
        || ["pw", "sig"].contains(&name.as_str())
        || is_key()
        // An escape may hide any letter of it.
        || name.contains('%')
}

/// `host=db password=***` for `host=db password=hunter2 port=1`. Whether a blank, a semicolon or a quote ends the value
/// differs from driver to driver, so all that follows is hidden.
pub(crate) fn mask_words(text: &str) -> String {
    for (end, _) in text.match_indices('=') {
        let is_of_name = |character: char| character.is_alphanumeric() || "_-.%".contains(character);
        let name = text[..end].trim_end().rsplit(|character| !is_of_name(character)).next();
        if name.is_some_and(sounds_secret) {
            return format!("{}={MASK}", &text[..end]);
        }
    }
    text.to_owned()
}

/// As [`mask_words`] for a query, where it is sure that `&` ends a value.
pub(crate) fn mask_query(query: &str) -> String {
    query.split('&').map(mask_words).collect::<Vec<_>>().join("&")
}
