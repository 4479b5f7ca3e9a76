//! The page's files, embedded.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};

/// The page's own files alone, and its own figures: nothing inline, nothing from elsewhere, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

/// One file of the page.
pub(super) struct Asset {
    /// Where it is served.
    pub(super) path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

macro_rules! assets {
    ($($path:literal $media_type:ident $file:literal;)*) => {
        /// Every file.
        pub(super) const ALL: &[Asset] = &[$(Asset {
            path: $path,
            media_type: $media_type,
            text: include_str!(concat!("../../../assets/page/", $file)),
        },)*];
    };
}

assets! {
    "/" HTML "index.html";
    "/page/page.css" CSS "page.css";
    "/page/icon.svg" SVG "icon.svg";
    "/page/main.js" SCRIPT "main.js";
    "/page/model.js" SCRIPT "model.js";
    "/page/format.js" SCRIPT "format.js";
    "/page/table.js" SCRIPT "table.js";
    "/page/tables.js" SCRIPT "tables.js";
    "/page/plots.js" SCRIPT "plots.js";
    "/page/map.js" SCRIPT "map.js";
    "/page/vendor/uPlot.iife.min.js" SCRIPT "vendor/uPlot.iife.min.js";
    "/page/vendor/uPlot.min.css" CSS "vendor/uPlot.min.css";
    "/page/vendor/LICENSE.uPlot" TEXT "vendor/LICENSE.uPlot";
}

impl Asset {
    pub(super) fn response(&self) -> Response {
        let headers = [
            (CONTENT_TYPE, self.media_type),
            // Another daemon at the same address has another page.
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
        ];
        (headers, Body::from(self.text)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> &'static str {
        ALL.iter().find(|asset| asset.path == path).unwrap_or_else(|| panic!("{path} is not served")).text
    }

    /// What stands between quotes after `before`.
    fn quoted(text: &'static str, before: &str) -> impl Iterator<Item = &'static str> {
        let quotes = |c| c == '"' || c == '\'';
        text.split(before)
            .skip(1)
            .filter_map(move |rest| rest.strip_prefix(quotes)?.split_once(quotes).map(|(path, _)| path))
    }

    #[test]
    fn the_page_is_well_below_two_hundred_kilobytes() {
        let bytes: usize = ALL.iter().map(|asset| asset.text.len()).sum();
        assert!(bytes < 150_000, "{bytes} bytes");
    }

    #[test]
    fn whatever_the_page_names_is_served_and_nothing_of_it_is_inline() {
        let index = text("/");
        let before = [" src=", "rel=\"stylesheet\" href=", "rel=\"icon\" href="];
        let named: Vec<_> = before.into_iter().flat_map(|before| quoted(index, before)).collect();
        assert!(named.len() > 5, "{named:?}");
        for path in named {
            text(&format!("/{path}"));
        }
        for inline in ["<style", " style=", " onclick=", "<script>"] {
            assert!(!index.contains(inline), "{inline}");
        }
    }

    #[test]
    fn every_module_that_another_imports_is_served() {
        let modules = ALL.iter().filter(|asset| asset.media_type == SCRIPT);
        let imports: Vec<_> = modules.flat_map(|asset| quoted(asset.text, "from ")).collect();
        assert!(imports.len() > 5, "{imports:?}");
        for import in imports {
            let file = import.strip_prefix("./").unwrap_or_else(|| panic!("{import} is not of the page"));
            text(&format!("/page/{file}"));
        }
    }
}
