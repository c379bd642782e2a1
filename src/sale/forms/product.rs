//! Products.

use serde::Deserialize;
use utoipa::ToSchema;

use super::{Invalid, line, nullable, number, required, text};
use crate::port::{NewProduct, ProductChange};

const SKU: (usize, usize) = (1, 100);
const NAME: (usize, usize) = (1, 255);
const DESCRIPTION: usize = 4_000;
const ADDRESS: usize = 2_000;
/// A hundred million of any currency that has cents.
const PRICE: (i64, i64) = (0, 9_999_999_999);

/// A product to be made.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProductForm {
    /// Unique.
    #[schema(value_type = String, required = true, min_length = 1, max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", example = "SHOE-7-BLACK")]
    pub sku: Option<String>,
    #[schema(value_type = String, required = true, min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", example = "Trail shoe, black")]
    pub name: Option<String>,
    #[schema(max_length = 4000, example = "Waterproof, 280 g")]
    pub description: Option<String>,
    /// An https address, or a path on this server (`/pictures/shoe-7.jpg`).
    #[schema(
        max_length = 2000,
        format = "uri-reference",
        example = "https://shop.example/shoe-7.jpg"
    )]
    pub image_url: Option<String>,
    /// In the currency's smallest unit.
    #[schema(value_type = i64, required = true, minimum = 0, maximum = 9_999_999_999_i64, example = 9900)]
    pub price_cents: Option<i64>,
    /// ISO 4217.
    #[schema(value_type = String, required = true, pattern = "^[A-Z]{3}$", example = "EUR")]
    pub currency: Option<String>,
    /// The price before the sale, to be shown beside it.
    #[schema(minimum = 0, maximum = 9_999_999_999_i64, example = 14900)]
    pub prior_price_cents: Option<i64>,
    /// For the action log.
    #[schema(max_length = 500, example = "New in the autumn catalogue")]
    pub reason: Option<String>,
}

/// New values for fields of a product. Those that are not given stay.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProductPatch {
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        example = "SHOE-7-BLACK"
    )]
    pub sku: Option<String>,
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        example = "Trail shoe, black"
    )]
    pub name: Option<String>,
    #[schema(max_length = 4000, example = "Waterproof, 270 g")]
    pub description: Option<String>,
    /// `null` removes it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 2000, format = "uri-reference", example = "https://shop.example/shoe-7.jpg")]
    pub image_url: Option<Option<String>>,
    #[schema(minimum = 0, maximum = 9_999_999_999_i64, example = 8900)]
    pub price_cents: Option<i64>,
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    pub currency: Option<String>,
    /// `null` removes it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 9_999_999_999_i64, example = 14900)]
    pub prior_price_cents: Option<Option<i64>>,
    /// Why, for the action log.
    #[schema(max_length = 500, example = "The supplier lowered the price")]
    pub reason: Option<String>,
}

impl TryFrom<ProductForm> for NewProduct {
    type Error = Invalid;

    fn try_from(form: ProductForm) -> Result<Self, Invalid> {
        Ok(Self {
            sku: sku(&required("sku", form.sku)?)?,
            name: name(&required("name", form.name)?)?,
            description: description(form.description.unwrap_or_default())?,
            image_url: form.image_url.map(image_url).transpose()?,
            price_cents: price("priceCents", required("priceCents", form.price_cents)?)?,
            currency: currency(required("currency", form.currency)?)?,
            prior_price_cents: form.prior_price_cents.map(prior_price).transpose()?,
        })
    }
}

impl ProductPatch {
    /// The change, for a caller who saw this version.
    pub fn change(self, expected: u64) -> Result<ProductChange, Invalid> {
        Ok(ProductChange {
            expected,
            sku: self.sku.as_deref().map(sku).transpose()?,
            name: self.name.as_deref().map(name).transpose()?,
            description: self.description.map(description).transpose()?,
            image_url: match self.image_url {
                Some(Some(address)) => Some(Some(image_url(address)?)),
                removed => removed,
            },
            price_cents: self
                .price_cents
                .map(|cents| price("priceCents", cents))
                .transpose()?,
            currency: self.currency.map(currency).transpose()?,
            prior_price_cents: match self.prior_price_cents {
                Some(Some(cents)) => Some(Some(prior_price(cents)?)),
                removed => removed,
            },
        })
    }
}

fn sku(text: &str) -> Result<String, Invalid> {
    line("sku", text.trim().to_owned(), SKU)
}

/// Without spaces around it: a name of spaces is none, and spreadsheets would not show one that begins with them as it is.
fn name(text: &str) -> Result<String, Invalid> {
    line("name", text.trim().to_owned(), NAME)
}

fn description(description: String) -> Result<String, Invalid> {
    text("description", description, DESCRIPTION)
}

/// Pages of shops are https: browsers would not show another picture there, and `javascript:` must not get into a page. What a proxy
/// serves beside the API, or the API itself, is named by its path.
fn image_url(address: String) -> Result<String, Invalid> {
    let is_plain = address
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
    let is_found = if let Some(host) = address.strip_prefix("https://") {
        host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[')
    } else {
        // Two slashes would name another host, a colon another scheme.
        let path = address.strip_prefix('/').unwrap_or(&address);
        path.starts_with(|first: char| first.is_ascii_alphanumeric()) && !path.contains(':')
    };
    if address.len() <= ADDRESS && is_found && is_plain {
        Ok(address)
    } else {
        Err(Invalid::Address("imageUrl"))
    }
}

fn price(field: &'static str, cents: i64) -> Result<i64, Invalid> {
    number(field, cents, PRICE)
}

fn prior_price(cents: i64) -> Result<i64, Invalid> {
    price("priorPriceCents", cents)
}

fn currency(code: String) -> Result<String, Invalid> {
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(code)
    } else {
        Err(Invalid::Currency("currency"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> ProductForm {
        ProductForm {
            sku: Some("SHOE-7".to_owned()),
            name: Some("Größe 43 ❤".to_owned()),
            description: Some("One\nTwo".to_owned()),
            image_url: Some("https://shop.example/a.jpg?x=1&y=%20".to_owned()),
            price_cents: Some(0),
            currency: Some("EUR".to_owned()),
            prior_price_cents: None,
            reason: None,
        }
    }

    fn verdict(change: impl FnOnce(&mut ProductForm)) -> Result<(), String> {
        let mut form = form();
        change(&mut form);
        NewProduct::try_from(form)
            .map(|_| ())
            .map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn names_have_no_spaces_around_them_and_are_not_made_of_spaces() {
        let mut padded = form();
        padded.name = Some("  Trail shoe ".to_owned());
        assert_eq!(NewProduct::try_from(padded).unwrap().name, "Trail shoe");
        for blank in ["", "   ", "\u{2003}"] {
            assert!(verdict(|form| form.name = Some(blank.to_owned())).is_err());
            assert!(verdict(|form| form.sku = Some(blank.to_owned())).is_err());
        }
    }

    #[test]
    fn a_sound_product_passes_as_it_is() {
        let product = NewProduct::try_from(form()).unwrap();
        assert_eq!(product.name, "Größe 43 ❤");
        assert_eq!(product.description, "One\nTwo");
    }

    #[test]
    fn a_picture_may_be_on_this_server() {
        for path in [
            "/pictures/shoe-7.jpg?w=800",
            "assets/latest/shop/pictures/smartphone.svg",
        ] {
            assert_eq!(
                verdict(|form| form.image_url = Some(path.to_owned())),
                Ok(())
            );
        }
    }

    #[test]
    fn a_wrong_field_is_named() {
        let begins = |verdict: Result<(), String>, field: &str| {
            let message = verdict.unwrap_err();
            assert!(
                message.starts_with(&format!("{field} ")),
                "{field}: {message}"
            );
        };
        begins(verdict(|form| form.sku = None), "sku");
        begins(verdict(|form| form.sku = Some(String::new())), "sku");
        begins(verdict(|form| form.name = Some("a\nb".to_owned())), "name");
        begins(verdict(|form| form.name = Some("x".repeat(256))), "name");
        begins(
            verdict(|form| form.description = Some("\0".to_owned())),
            "description",
        );
        begins(verdict(|form| form.price_cents = Some(-1)), "priceCents");
        begins(verdict(|form| form.price_cents = None), "priceCents");
        begins(
            verdict(|form| form.prior_price_cents = Some(i64::MAX)),
            "priorPriceCents",
        );
        for wrong in ["eur", "EURO", "E", "ÄÖÜ", ""] {
            begins(
                verdict(|form| form.currency = Some(wrong.to_owned())),
                "currency",
            );
        }
        for wrong in [
            "http://shop.example/a.jpg",
            "javascript:alert(1)",
            "https://",
            "https:///a",
            "https://shop.example/\"><script>",
            "https://shop.example/a b",
            "//shop.example/a.jpg",
            "/\\shop.example/a.jpg",
            "/a b.jpg",
            "/",
            "",
            "../a.jpg",
            "data:image/png;base64,AA",
        ] {
            begins(
                verdict(|form| form.image_url = Some(wrong.to_owned())),
                "imageUrl",
            );
        }
    }

    #[test]
    fn null_removes_and_a_missing_field_stays() {
        let read = |text: &str| serde_json::from_str::<ProductPatch>(text).unwrap();
        let change = read("{}").change(3).unwrap();
        assert_eq!((change.expected, change.image_url), (3, None));
        let change = read(r#"{"imageUrl":null,"priorPriceCents":null}"#);
        let change = change.change(3).unwrap();
        assert_eq!(change.image_url, Some(None));
        assert_eq!(change.prior_price_cents, Some(None));
        assert!(read(r#"{"priorPriceCents":-1}"#).change(3).is_err());
    }
}
