//! `flashsale openapi`: prints the OpenAPI document, for tools that read it from a file.

use anyhow::Context;
use clap::Args;

use crate::api;

/// Print the OpenAPI document of the API
///
/// The same as `GET /api-docs/openapi.json` answers. docs/openapi.json is this output.
#[derive(Debug, Args)]
pub(super) struct Openapi {}

impl Openapi {
    #[allow(clippy::print_stdout)] // the command's answer
    pub(super) fn run() -> anyhow::Result<()> {
        let document = api::document_text().context("the document cannot be written")?;
        print!("{document}");
        Ok(())
    }
}
