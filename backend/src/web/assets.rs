//! The files that pages load: embedded in the program, under addresses that change with their content.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Path;
use sha2::{Digest as _, Sha256};

use super::error::Error;
use super::pages::PageError;

/// A file that pages load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asset {
    /// The style sheet of every page.
    Style,
    /// The script of every page: the key of the search box.
    Page,
    /// The timeline's script.
    Timeline,
    /// uPlot, which draws on a canvas (vendored).
    Plot,
    /// Its style sheet.
    PlotStyle,
}

impl Asset {
    const ALL: [Self; 5] = [
        Self::Style,
        Self::Page,
        Self::Timeline,
        Self::Plot,
        Self::PlotStyle,
    ];

    /// Its name without its hash, its content type and its text.
    fn parts(self) -> (&'static str, &'static str, &'static str, &'static str) {
        const STYLE: &str = "text/css; charset=utf-8";
        const SCRIPT: &str = "text/javascript; charset=utf-8";
        match self {
            Self::Style => (
                "style",
                "css",
                STYLE,
                include_str!("../../assets/style.css"),
            ),
            Self::Page => ("page", "js", SCRIPT, include_str!("../../assets/page.js")),
            Self::Timeline => (
                "timeline",
                "js",
                SCRIPT,
                include_str!("../../assets/timeline.js"),
            ),
            Self::Plot => (
                "uplot",
                "js",
                SCRIPT,
                include_str!("../../assets/vendor/uPlot/uPlot.esm.js"),
            ),
            Self::PlotStyle => (
                "uplot",
                "css",
                STYLE,
                include_str!("../../assets/vendor/uPlot/uPlot.min.css"),
            ),
        }
    }

    /// Where pages find it: `/assets/NAME-HASH.EXTENSION`. Browsers keep it for ever, for another content has another address.
    pub(super) fn address(self) -> &'static str {
        ADDRESSES
            .iter()
            .find(|(asset, _)| *asset == self)
            .map_or("", |(_, address)| address.as_str())
    }
}

static ADDRESSES: LazyLock<Vec<(Asset, String)>> = LazyLock::new(|| {
    let address = |asset: Asset| {
        let (name, extension, _, text) = asset.parts();
        let hash = hex::encode(Sha256::digest(text.as_bytes()));
        format!("/assets/{name}-{}.{extension}", &hash[..16])
    };
    Asset::ALL
        .into_iter()
        .map(|asset| (asset, address(asset)))
        .collect()
});

/// `GET /assets/{file}`.
pub(super) async fn asset(file: Path<String>) -> Result<HttpResponse, PageError> {
    let found = Asset::ALL
        .into_iter()
        .find(|one| one.address().strip_prefix("/assets/") == Some(file.as_str()));
    let Some(found) = found else {
        return Err(Error::NotFound(
            "There is no such file; the page that names it is of another version: load it anew."
                .to_owned(),
        )
        .into());
    };
    let (_, _, content_type, text) = found.parts();
    Ok(HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .body(text))
}
