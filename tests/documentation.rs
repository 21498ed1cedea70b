//! What the documentation shows is there. (The tables of `docs/campaign.md` are checked in `tests/schema.rs`.)

use std::path::PathBuf;

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Figures in the documentation: `src="images/NAME.png"`.
#[test]
fn every_figure_is_there() {
    let mut named = 0;
    for page in ["README.md", "docs/validation.md"] {
        let text = std::fs::read_to_string(repository(page)).unwrap();
        for name in text.split("src=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            let path = repository(page).with_file_name("").join(name);
            let size = std::fs::metadata(&path).unwrap_or_else(|e| panic!("{page}: {name}: {e}")).len();
            assert!(size < 100_000, "{page}: {name} has {size} bytes");
            named += 1;
        }
    }
    assert!(named > 1, "only {named} figures were looked for");
}
