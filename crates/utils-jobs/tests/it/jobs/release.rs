//! The release that jobs carry.
use utils_jobs::Jobs;
use utils_release::ReleaseSources;

#[test]
fn the_release_of_the_program_is_the_default() {
    // The first call in this process decides, and no other test makes one.
    let installed = ReleaseSources::new().no_file().env_from([("RELEASE", "9.8.7")]).install();
    assert_eq!(installed.as_str(), utils_release::release());
    assert_ne!(installed.as_str(), utils_release::UNKNOWN);
    assert_eq!(Jobs::memory().release(), installed.as_str());
    assert_eq!(Jobs::builder().open("memory:").unwrap().release(), installed.as_str());
    assert_eq!(Jobs::builder().release("1.4.0").open("memory:").unwrap().release(), "1.4.0");
}
