//! The files of `web/`: embedded by a release build, read from disk by a debug build.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use actix_web::web::Bytes;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use super::source::without_comments;
use crate::http::{StaticFile, hex};

/// Stands for the relative address of the files in a page.
const ASSETS: &str = "{{assets}}";
/// Bytes of the SHA-256 over all files that are part of their address.
const HASH_BYTES: usize = 6;

#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;

/// A page with an address of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Shop,
    Console,
}

/// All files of one version.
pub(super) struct Site {
    /// Twelve hex digits.
    hash: String,
    shop: StaticFile,
    console: StaticFile,
    /// By path under `web/`.
    assets: BTreeMap<String, StaticFile>,
}

impl Page {
    const fn path(self) -> &'static str {
        match self {
            Self::Shop => "shop/index.html",
            Self::Console => "console/index.html",
        }
    }
}

impl Site {
    /// The files of the program; in a debug build, those on disk at this moment.
    pub(super) fn current() -> Arc<Self> {
        static EMBEDDED: LazyLock<Arc<Site>> = LazyLock::new(|| Arc::new(Site::read()));
        if cfg!(debug_assertions) {
            Arc::new(Self::read())
        } else {
            Arc::clone(&EMBEDDED)
        }
    }

    fn read() -> Self {
        let mut contents: BTreeMap<String, Bytes> = BTreeMap::new();
        for path in Web::iter() {
            if let (Some(_), Some(file)) = (content_type(&path), Web::get(&path)) {
                contents.insert(path.into_owned(), Bytes::from_owner(file.data));
            }
        }
        let hash = hash(&contents);
        let page = |page: Page| {
            let html = contents.get(page.path()).cloned().unwrap_or_default();
            let html = String::from_utf8_lossy(&html).replace(ASSETS, &format!("assets/{hash}"));
            StaticFile::of("text/html; charset=utf-8", html.into())
        };
        let (shop, console) = (page(Page::Shop), page(Page::Console));
        let assets = contents.into_iter().filter_map(|(path, content)| {
            let content_type = content_type(&path).filter(|_| !is_page(&path))?;
            let content = if has_comments(&path) {
                without_comments(&String::from_utf8_lossy(&content)).into()
            } else {
                content
            };
            Some((path, StaticFile::of(content_type, content)))
        });
        Self {
            shop,
            console,
            assets: assets.collect(),
            hash,
        }
    }

    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    pub(super) fn page(&self, page: Page) -> &StaticFile {
        match page {
            Page::Shop => &self.shop,
            Page::Console => &self.console,
        }
    }

    pub(super) fn asset(&self, path: &str) -> Option<&StaticFile> {
        self.assets.get(path)
    }
}

/// Over paths and contents, each with its length: no two sets of files are the same text.
fn hash(contents: &BTreeMap<String, Bytes>) -> String {
    let mut sha = Sha256::new();
    for (path, content) in contents {
        for part in [path.as_bytes(), content] {
            sha.update((part.len() as u64).to_be_bytes());
            sha.update(part);
        }
    }
    let digest = sha.finalize();
    hex(digest.get(..HASH_BYTES).unwrap_or_default())
}

fn is_page(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, end)| end == "html")
}

/// Scripts and style sheets of the project's own. Those of others are served byte for byte.
fn has_comments(path: &str) -> bool {
    let end = path.rsplit_once('.').map(|(_, end)| end);
    matches!(end, Some("js" | "css")) && !path.starts_with("vendor/")
}

/// Files of other types, as notes and settings of tools, are not served.
fn content_type(path: &str) -> Option<&'static str> {
    let (_, end) = path.rsplit_once('.')?;
    Some(match end {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" => "image/jpeg",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => return None,
    })
}
