//! The release of the process. One test, because what it sets is set for the whole process.
use utils_release::{ReleaseSources, Source, current, release};

#[test]
fn what_the_application_installs_first_is_what_everybody_reads() {
    let before = release();
    assert_eq!(before, ReleaseSources::new().find().as_str(), "nothing is installed yet");

    let installed = utils_release::release!();
    let expected = ReleaseSources::new().compiled(utils_release::compiled!()).find();
    assert_eq!(installed, expected.as_str());
    assert_eq!((release(), current()), (installed, &expected));

    let again = ReleaseSources::new().env_from([("RELEASE", "other")]).install();
    assert_eq!(again.as_str(), installed);
}

#[test]
fn the_macro_reads_the_version_of_the_crate_it_is_written_in() {
    let compiled = utils_release::compiled!();
    let found = ReleaseSources::new().no_file().env_from([("", ""); 0]).compiled(compiled).find();
    if compiled.releases == [None; 4] {
        assert_eq!((found.as_str(), found.source()), (env!("CARGO_PKG_VERSION"), &Source::CrateVersion));
    } else {
        assert_eq!(found.source(), &Source::Compiled);
    }
}
