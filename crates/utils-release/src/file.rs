use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use crate::text::first_line;

/// A first line that is longer names no release; a larger file is not read beyond it.
const LONGEST: u64 = 64 * 1024;

/// The release in the file, if it is an ordinary file with a usable first line.
pub(crate) fn release_in_file(path: &Path) -> Option<String> {
    // Asked before opening, because opening a FIFO waits until somebody writes to it.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(LONGEST + 1).read_to_end(&mut bytes).ok()?;
    let complete = bytes.len() as u64 <= LONGEST;
    first_line(&bytes, complete).map(str::to_owned)
}
