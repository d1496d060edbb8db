//! The content security policy of the page, and the style and the script that it admits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The only style of the page: dark colours where the system or the reader wants them, then everything else.
pub(super) const STYLE: &str = concat!(
    "@media (prefers-color-scheme: dark) { :root:not([data-theme=\"light\"]) {\n",
    include_str!("dark.css"),
    "} }\n:root[data-theme=\"dark\"] {\n  color-scheme: dark;\n",
    include_str!("dark.css"),
    "}\n",
    include_str!("page.css"),
);

/// The only script of the page.
pub(super) const SCRIPT: &str = include_str!("page.js");

/// The policy: nothing from any network, and no style or script but these two, which are known by their hashes. So
/// nothing that a capture holds can run, even if it were written without escaping.
pub(super) fn policy() -> String {
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        source(STYLE),
        source(SCRIPT)
    )
}

/// `sha256-...` as CSP level 2 names a source.
fn source(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_written_as_browsers_expect_it() {
        // The example of https://www.w3.org/TR/CSP2/#source-list-valid-hashes.
        assert_eq!(source("alert('Hello, world.');"), "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
    }

    #[test]
    fn neither_style_nor_script_ends_its_element() {
        assert!(!STYLE.contains("</"));
        assert!(!SCRIPT.contains("</script"));
        assert!(!SCRIPT.contains("innerHTML"), "text from a capture must not become markup");
    }
}
