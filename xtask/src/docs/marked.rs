//! Generated blocks in pages that are written by hand.

/// Replaces what stands between `<!-- name -->` and `<!-- /name -->`; `None` when a marker is missing.
pub(crate) fn replace(page: &str, name: &str, block: &str) -> Option<String> {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let start = page.find(&open)? + open.len();
    let end = start + page[start..].find(&close)?;
    Some(format!("{}{}\n{}", &page[..start], block.trim_end(), &page[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n";
        assert_eq!(replace(page, "x", "new\n").as_deref(), Some("a\n<!-- x -->\nnew\n<!-- /x -->\nb\n"));
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let once = replace("<!-- x -->\n<!-- /x -->\n", "x", "new").unwrap();
        assert_eq!(replace(&once, "x", "new"), Some(once));
    }

    #[test]
    fn a_page_without_both_markers_is_refused() {
        assert_eq!(replace("<!-- x -->\n", "x", "new"), None);
        assert_eq!(replace("<!-- /x -->\n<!-- x -->\n", "x", "new"), None);
    }
}
