/// A name that no other worker has: host, process, release and something random, or what was given and something random.
pub(super) fn unique(given: Option<&str>, release: &str) -> String {
    let random = getrandom::u32().unwrap_or_else(|_| std::process::id());
    let given = match given {
        Some(name) => short(name, 80),
        None => format!("{}-{}-{}", short(&host(), 40), std::process::id(), short(release, 40)),
    };
    format!("{given}-{random:08x}")
}

fn host() -> String {
    // Without a library there is no portable way; on Linux it is a file.
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "worker".to_owned())
}

/// What of a text has room in the table.
pub(crate) fn short(text: &str, most: usize) -> String {
    text.chars().map(|each| if each.is_control() { ' ' } else { each }).take(most).collect()
}
