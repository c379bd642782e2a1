//! `flashsale product`: products of sales, made, listed and changed.

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{
    operator::{Who, plain, with_steering},
    target::Target,
};
use crate::{
    api::admin::body::ProductBody,
    config::Config,
    ids::ProductId,
    port::{NewProduct, Product as Stored},
    sale::{
        Steering,
        forms::{ProductForm, ProductPatch},
    },
    terminal::{print_json, say},
};

/// Make, list and change products
///
/// The same as /api/admin/products of the HTTP API. With --embedded it works while the data directory is served, too.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Product {
    #[command(subcommand)]
    step: Step,
    #[command(flatten)]
    pub(super) target: Target,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// List products by their ids
    List {
        /// Those with higher ids
        #[arg(long, value_name = "ID")]
        after: Option<ProductId>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Show one with all its fields
    Show { product: ProductId },
    /// Make one
    Create(Create),
    /// Change the fields that are given
    Edit(Edit),
}

#[derive(Debug, Args)]
struct Create {
    /// Unique
    #[arg(long)]
    sku: String,
    #[arg(long)]
    name: String,
    #[arg(long, default_value = "")]
    description: String,
    /// An https address, or a path on this server
    #[arg(long, value_name = "URL")]
    image_url: Option<String>,
    /// In the currency's smallest unit
    #[arg(long, value_name = "N")]
    price_cents: i64,
    /// ISO 4217, like EUR
    #[arg(long, value_name = "CODE")]
    currency: String,
    /// The price before the sale
    #[arg(long, value_name = "N")]
    prior_price_cents: Option<i64>,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Args)]
struct Edit {
    product: ProductId,
    /// Only if this is its version [default: the current one]
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    #[arg(long)]
    sku: Option<String>,
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    description: Option<String>,
    /// An https address, or a path on this server; empty removes it
    #[arg(long, value_name = "URL")]
    image_url: Option<String>,
    #[arg(long, value_name = "N")]
    price_cents: Option<i64>,
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// The price before the sale
    #[arg(long, value_name = "N", conflicts_with = "no_prior_price")]
    prior_price_cents: Option<i64>,
    /// Remove the price before the sale
    #[arg(long)]
    no_prior_price: bool,
    #[command(flatten)]
    who: Who,
}

impl Product {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let Self { step, target, json } = self;
        with_steering(&target, &config, async |steering| {
            step.run(&config, steering, json).await
        })
        .await
    }
}

impl Step {
    async fn run(self, config: &Config, steering: &Steering, json: bool) -> anyhow::Result<()> {
        let admin = &steering.admin;
        match self {
            Self::List { after, limit } => {
                let products = admin.products(after, limit).await?;
                if json {
                    let bodies: Vec<_> = products.into_iter().map(ProductBody::from).collect();
                    return Ok(print_json(&bodies)?);
                }
                for product in &products {
                    line(product);
                }
                say!("{} products", products.len());
                Ok(())
            }
            Self::Show { product } => {
                let found = admin.product(product).await?;
                show(
                    found.with_context(|| format!("there is no product {product}"))?,
                    json,
                )
            }
            Self::Create(create) => {
                let entry = create.who.entry(config, String::new())?;
                let product = NewProduct::try_from(ProductForm {
                    sku: Some(create.sku),
                    name: Some(create.name),
                    description: Some(create.description),
                    image_url: create.image_url,
                    price_cents: Some(create.price_cents),
                    currency: Some(create.currency),
                    prior_price_cents: create.prior_price_cents,
                    reason: None,
                })?;
                show(admin.create_product(&product, &entry).await?, json)
            }
            Self::Edit(edit) => {
                let entry = edit.who.entry(config, String::new())?;
                let product = edit.product;
                let expected = if let Some(version) = edit.if_version {
                    version
                } else {
                    let found = admin.product(product).await?;
                    found
                        .with_context(|| format!("there is no product {product}"))?
                        .version
                };
                let patch = ProductPatch {
                    sku: edit.sku,
                    name: edit.name,
                    description: edit.description,
                    image_url: edit
                        .image_url
                        .map(|address| Some(address).filter(|address| !address.is_empty())),
                    price_cents: edit.price_cents,
                    currency: edit.currency,
                    prior_price_cents: if edit.no_prior_price {
                        Some(None)
                    } else {
                        edit.prior_price_cents.map(Some)
                    },
                    reason: None,
                };
                let change = patch.change(expected)?;
                show(admin.change_product(product, &change, &entry).await?, json)
            }
        }
    }
}

fn line(product: &Stored) {
    let fields = &product.fields;
    say!(
        "{}  {}  {}  {} {}",
        product.id,
        plain(&fields.sku),
        plain(&fields.name),
        fields.price_cents,
        plain(&fields.currency)
    );
}

fn show(product: Stored, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(print_json(&ProductBody::from(product))?);
    }
    line(&product);
    let fields = &product.fields;
    if let Some(price) = fields.prior_price_cents {
        say!("  before the sale: {price} {}", plain(&fields.currency));
    }
    if let Some(address) = &fields.image_url {
        say!("  image: {}", plain(address));
    }
    if !fields.description.is_empty() {
        say!("  {}", plain(&fields.description));
    }
    say!("  version {}", product.version);
    Ok(())
}
