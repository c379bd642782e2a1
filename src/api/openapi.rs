//! The OpenAPI document: the handlers' own descriptions, completed with the errors of the table of routes.

use std::collections::BTreeMap;

use actix_web::http::Method;
use serde_json::json;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, ContentBuilder, Header, Ref, RefOr, Response, ResponseBuilder,
        example::ExampleBuilder,
        schema::{ArrayBuilder, Object, ObjectBuilder, Schema, Type},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::{
    accounts, admin, docs, events, exchange, health, orders, public, results, sale, service, table,
};
use crate::http::{ApiError, ErrorBody, ErrorCode, ProblemBody};

const ABOUT: &str = "\
Sells a limited stock in a short time: one item a shopper, never more than there are.

**Tokens.** Register, log in, and send the token as `Authorization: Bearer <token>`; here, press *Authorize*.

**Errors.** Every failure is `{\"success\":false,\"error\":\"<category>\",\"message\":\"<for people>\",\"code\":\"<for programs>\"}`. \
Codes do not change; messages may. With `Accept: application/problem+json` the same comes as RFC 9457. 429 and 503 carry \
`Retry-After` in seconds. `not_started` has `startsAt` and `serverTime` besides. A path that is not listed here answers 404 `not_found`. Only what is refused before its head is read \
whole (400, 408) has no body.

**Operators** change what has an `ETag` with `If-Match`, and send what may be sent again with an `Idempotency-Key`: it is done once, and \
the first answer is given again with `Idempotency-Replayed: true`, for 24 hours. A change is answered 200 once the gate decides by it, on \
every node, and 202 if that takes longer, up to two seconds. Lists have `next`, to be given as `after`.

**Times** are RFC 3339, UTC, with milliseconds. Ids of users are strings, those of sales and products integers.";

/// What the handlers say of themselves.
#[derive(OpenApi)]
#[openapi(
    info(title = "Flash sale", description = ABOUT, contact(name = "The operator of this server")),
    tags(
        (name = "Accounts", description = "Registering, logging in and out, passwords"),
        (name = "Flash sale", description = "The sale, and buying in it"),
        (name = "Orders", description = "What became of a purchase"),
        (name = "Public", description = "What everybody may see, without a token"),
        (name = "Service", description = "For programs of the shop, by the scopes of their service account"),
        (name = "Operators", description = "Making and running sales: for accounts with the role admin or operator; support and auditor may read"),
        (name = "Operation", description = "For those who run the service"),
    ),
    paths(
        accounts::register,
        accounts::login,
        accounts::logout,
        accounts::change_password,
        accounts::reset_password,
        exchange::exchange,
        sale::status,
        orders::attempt,
        orders::status,
        results::show,
        events::orders,
        public::sales,
        public::sale,
        events::sale,
        public::time,
        admin::overview::show,
        admin::products::list,
        admin::products::create,
        admin::products::show,
        admin::products::change,
        admin::sales::list,
        admin::sales::create,
        admin::sales::show,
        admin::sales::edit,
        admin::sales::balance,
        admin::changes::publish,
        admin::changes::pause,
        admin::changes::resume,
        admin::changes::end,
        admin::changes::cancel,
        admin::changes::stock,
        admin::orders::list,
        admin::orders::cancel,
        admin::attempts::show,
        admin::attempts::of_user,
        admin::users::list,
        admin::users::show,
        admin::users::erase,
        admin::service_accounts::list,
        admin::service_accounts::create,
        admin::service_accounts::change,
        admin::service_accounts::renew_secret,
        admin::actions::list,
        admin::dead_letters::list,
        admin::dead_letters::show,
        admin::dead_letters::replay,
        admin::dead_letters::discard,
        admin::webhooks::list,
        admin::webhooks::add,
        admin::webhooks::remove,
        admin::webhooks::rotate,
        admin::webhooks::replay,
        admin::webhooks::deliveries,
        admin::reports::audit,
        admin::reports::doctor,
        service::events::list,
        service::token::issue,
        service::attempts::attempt,
        service::shoppers::create,
        health::live,
        health::ready,
        health::metrics,
        docs::openapi,
    ),
    components(schemas(ErrorBody<'static>, ProblemBody<'static>)),
    // Where the document is, one up: also under a prefix that a proxy strips.
    servers((url = "..", description = "The server that the document comes from")),
    modifiers(&Bearer, &Errors, &Codes, &Data)
)]
struct Handlers;

/// How "try it out" sends the token.
struct Bearer;

/// The errors of the table of routes.
struct Errors;

/// The values of `code`.
struct Codes;

/// The `data` of an answer by the name of its schema, which utoipa writes out instead: a client's generator makes one type of it.
struct Data;

/// The whole document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    Handlers::openapi()
}

/// The same as text, as it is kept in docs/openapi.json.
pub fn document_text() -> serde_json::Result<String> {
    serde_json::to_string_pretty(&document()).map(|text| text + "\n")
}

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("JWT".to_owned());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

impl Modify for Errors {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (_, name, response) in everywhere() {
            components
                .responses
                .insert(name.to_owned(), response.into());
        }
        for endpoint in table::api() {
            let Some(path) = document.paths.paths.get_mut(endpoint.path) else {
                continue;
            };
            let mut by_status: BTreeMap<String, Vec<ErrorCode>> = BTreeMap::new();
            for code in endpoint.errors {
                by_status
                    .entry(code.status().as_str().to_owned())
                    .or_default()
                    .push(*code);
            }
            let operation = match endpoint.method {
                Method::GET => &mut path.get,
                Method::POST => &mut path.post,
                Method::PUT => &mut path.put,
                Method::PATCH => &mut path.patch,
                Method::DELETE => &mut path.delete,
                _ => continue,
            };
            if let Some(operation) = operation {
                for (status, codes) in &by_status {
                    operation
                        .responses
                        .responses
                        .insert(status.clone(), RefOr::T(failure(codes)));
                }
                for (status, name, _) in everywhere() {
                    let responses = &mut operation.responses.responses;
                    responses
                        .entry(status.to_owned())
                        .or_insert_with(|| RefOr::Ref(Ref::from_response_name(name)));
                }
            }
        }
    }
}

impl Modify for Codes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let schemas = &mut document.components.get_or_insert_default().schemas;
        if let Some(RefOr::T(Schema::Object(body))) = schemas.get_mut("ErrorBody")
            && let Some(RefOr::T(Schema::Object(code))) = body.properties.get_mut("code")
        {
            let codes = ErrorCode::ALL.iter().map(|code| json!(code.code()));
            code.enum_values = Some(codes.collect());
        }
    }
}

impl Modify for Data {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let schemas = &mut document.components.get_or_insert_default().schemas;
        let names: Vec<String> = schemas.keys().cloned().collect();
        for name in names {
            let item = name.strip_prefix("Page_");
            if let Some(item) = item.filter(|item| schemas.contains_key(*item)).map(schema)
                && let Some(RefOr::T(Schema::Object(page))) = schemas.get_mut(&name)
            {
                name_items(page, "items", item);
            }
            let item = name.strip_prefix("Success_Page_");
            if let Some(item) = item.filter(|item| schemas.contains_key(*item)).map(schema)
                && let Some(RefOr::T(Schema::Object(answer))) = schemas.get_mut(&name)
                && let Some(RefOr::T(Schema::Object(page))) = answer.properties.get_mut("data")
            {
                name_items(page, "items", item);
            }
            let item = name.strip_prefix("Success_Vec_");
            if let Some(item) = item.filter(|item| schemas.contains_key(*item)).map(schema)
                && let Some(RefOr::T(Schema::Object(answer))) = schemas.get_mut(&name)
            {
                name_items(answer, "data", item);
            }
            let data = name.strip_prefix("Success_");
            if let Some(data) = data.filter(|data| schemas.contains_key(*data)).map(schema)
                && let Some(RefOr::T(Schema::Object(answer))) = schemas.get_mut(&name)
            {
                answer.properties.insert("data".to_owned(), data.into());
            }
        }
    }
}

/// What every request may be answered with: its status, its name among the components, and the answer.
fn everywhere() -> [(&'static str, &'static str, Response); 7] {
    let bare = |description: &str| ResponseBuilder::new().description(description).build();
    let mut not_allowed = failure(&[ErrorCode::MethodNotAllowed]);
    let allow = header(Type::String, "The methods that the path takes");
    not_allowed.headers.insert("Allow".to_owned(), allow.into());
    [
        (
            "400",
            "Unreadable",
            bare("The request cannot be read as HTTP. There is no body."),
        ),
        ("405", "MethodNotAllowed", not_allowed),
        (
            "408",
            "HeadTooSlow",
            bare("The head of the request did not arrive in time. There is no body."),
        ),
        (
            "429",
            "TooManyConnections",
            failure(&[ErrorCode::TooManyRequests]),
        ),
        ("431", "HeadTooLarge", failure(&[ErrorCode::HeadTooLarge])),
        ("500", "Internal", failure(&[ErrorCode::Internal])),
        ("503", "Busy", failure(&[ErrorCode::Busy])),
    ]
}

/// The answer of one status, which these errors share.
fn failure(codes: &[ErrorCode]) -> Response {
    let lines: Vec<String> = codes
        .iter()
        .map(|code| format!("`{}`: {}", code.code(), code.message()))
        .collect();
    let mut response = ResponseBuilder::new()
        .description(lines.join("\n\n"))
        .content("application/json", example_of(codes))
        .content(
            "application/problem+json",
            ContentBuilder::new()
                .schema(Some(schema("ProblemBody")))
                .build(),
        );
    if codes.iter().any(|code| code.retry_after_secs().is_some()) {
        response = response.header(
            "Retry-After",
            header(Type::Integer, "Seconds to wait before asking again"),
        );
    }
    if codes.iter().any(|code| code.status().as_u16() == 401) {
        let scheme = if codes.contains(&ErrorCode::InvalidClient) {
            "`Basic`"
        } else {
            "`Bearer`"
        };
        response = response.header("WWW-Authenticate", header(Type::String, scheme));
    }
    response.build()
}

fn example_of(codes: &[ErrorCode]) -> Content {
    let examples = codes.iter().map(|code| {
        let body = json!(ApiError::from(*code).body());
        (code.code(), ExampleBuilder::new().value(Some(body)).build())
    });
    ContentBuilder::new()
        .schema(Some(schema("ErrorBody")))
        .examples_from_iter(examples)
        .build()
}

/// Names the schema of the items of a list.
fn name_items(of: &mut Object, list: &str, item: Ref) {
    let items = ArrayBuilder::new().items(item).build();
    of.properties.insert(list.to_owned(), items.into());
}

fn schema(name: &str) -> Ref {
    Ref::from_schema_name(name)
}

fn header(kind: Type, description: &str) -> Header {
    let mut header = Header::new(ObjectBuilder::new().schema_type(kind).build());
    header.description = Some(description.to_owned());
    header
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_in_the_document_and_nothing_else() {
        let ours: BTreeSet<String> = table::api()
            .iter()
            // The pages that show the document are no part of it.
            .filter(|endpoint| !["index", "docs", "docs_files"].contains(&endpoint.name))
            // Nor are the pages for people.
            .filter(|endpoint| !["admin_page", "assets"].contains(&endpoint.name))
            .map(|endpoint| format!("{} {}", endpoint.method, endpoint.path))
            .collect();
        let document = serde_json::to_value(document()).unwrap();
        let theirs: BTreeSet<String> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                item.as_object()
                    .unwrap()
                    .keys()
                    .map(move |method| format!("{} {path}", method.to_uppercase()))
            })
            .collect();
        assert_eq!(ours, theirs);
    }

    /// So that a change of the contract is seen in review, and clients can be generated without a running server.
    #[test]
    fn the_document_is_the_committed_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        let document = document_text().unwrap();
        let mut lines = committed.lines().zip(document.lines()).enumerate();
        let differs = lines.find(|(_, (committed, document))| committed != document);
        assert!(
            committed == document,
            "docs/openapi.json is not the document of this code (first difference: {differs:?}).\n\
             If the contract is meant to change: make openapi"
        );
    }

    #[test]
    fn operations_have_ids_of_their_own() {
        let document = serde_json::to_value(document()).unwrap();
        let operations = document["paths"].as_object().unwrap().values();
        let ids: Vec<&str> = operations
            .flat_map(|item| item.as_object().unwrap().values())
            .map(|operation| operation["operationId"].as_str().unwrap())
            .collect();
        assert_eq!(
            ids.iter().collect::<BTreeSet<_>>().len(),
            ids.len(),
            "{ids:?}"
        );
    }

    #[test]
    fn codes_are_enumerated_and_times_are_times() {
        let document = serde_json::to_value(document()).unwrap();
        let schemas = &document["components"]["schemas"];
        let codes = schemas["ErrorBody"]["properties"]["code"]["enum"].as_array();
        assert_eq!(codes.unwrap().len(), ErrorCode::ALL.len());
        assert_eq!(
            schemas["HealthBody"]["properties"]["timestamp"]["format"],
            "date-time"
        );
        for schema in schemas.as_object().unwrap().values() {
            let Some(fields) = schema["properties"].as_object() else {
                continue;
            };
            for (name, field) in fields {
                if name.ends_with("Time") || name == "timestamp" {
                    assert_eq!(field["format"], "date-time", "{name}");
                }
            }
        }
    }

    #[test]
    fn every_code_is_in_the_document() {
        let document = serde_json::to_string(&document()).unwrap();
        for code in ErrorCode::ALL {
            assert!(document.contains(&format!("`{}`", code.code())), "{code:?}");
        }
    }

    #[test]
    fn errors_do_not_write_over_an_answer_that_a_handler_describes() {
        let document = serde_json::to_value(document()).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                let responses = operation["responses"].as_object().unwrap();
                assert!(
                    responses.keys().any(|status| status.starts_with('2')),
                    "{path}"
                );
            }
        }
        assert!(document["paths"]["/health/ready"]["get"]["responses"]["503"].is_object());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = serde_json::to_value(document()).unwrap();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }

    #[test]
    fn bodies_of_operators_requests_have_examples() {
        let document = serde_json::to_value(document()).unwrap();
        let resolved = |schema: &serde_json::Value| {
            // An optional one is "this or null".
            let schema = schema.pointer("/oneOf/0").unwrap_or(schema).clone();
            let reference = schema["$ref"].as_str().map(|path| path[1..].to_owned());
            reference.map_or(schema, |path| document.pointer(&path).unwrap().clone())
        };
        let mut bodies = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let body = &operation["requestBody"]["content"]["application/json"]["schema"];
                if !path.starts_with("/api/admin") || body.is_null() {
                    continue;
                }
                bodies += 1;
                let schema = resolved(body);
                let fields = schema["properties"].as_object().unwrap();
                assert!(!fields.is_empty(), "{method} {path}");
                for (name, field) in fields {
                    let has_example = !resolved(field)["example"].is_null();
                    assert!(has_example, "{method} {path}: {name}");
                }
            }
        }
        assert!(bodies > 15, "{bodies}");
    }

    #[test]
    fn what_needs_a_token_says_so() {
        let document = serde_json::to_value(document()).unwrap();
        assert_eq!(
            document["components"]["securitySchemes"]["bearer"]["scheme"],
            "bearer"
        );
        for endpoint in table::api() {
            let method = endpoint.method.as_str().to_lowercase();
            let operation = &document["paths"][endpoint.path][method];
            let needs = endpoint.errors.contains(&ErrorCode::TokenMissing);
            assert_eq!(
                operation["security"][0]["bearer"].is_array(),
                needs,
                "{}",
                endpoint.path
            );
        }
    }
}
