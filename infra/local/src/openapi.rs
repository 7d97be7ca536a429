//! The description of the HTTP API (OpenAPI 3.1): what each function says of its own routes, and what
//! is the same for all of them, in one document.
//! <https://spec.openapis.org/oas/v3.1.0>

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// What stands in `infra/openapi.json`.
pub fn document() -> String {
    let mut all = bitflow_universities_api::openapi::openapi();
    for described in [
        bitflow_billing_api::openapi::openapi(),
        bitflow_alerts_api::openapi::openapi(),
        bitflow_notifications_api::openapi::openapi(),
        bitflow_broadcasting_auth::openapi::openapi(),
        bitflow_stripe_webhook::openapi::openapi(),
        bitflow_university_sync::openapi::openapi(),
    ] {
        all.merge(described);
    }
    let mut document = serde_json::to_value(all).expect("a description is JSON");
    document["openapi"] = "3.1.0".into();
    document["info"] = json!({
        "title": "Bitflow Admin Portal",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Onboards universities, bills them, and hears from their portals.",
        "license": { "name": "MIT", "identifier": "MIT" },
    });
    document["servers"] = json!([{ "url": "/" }]);
    document["paths"]["/api/openapi.json"] = json!({ "get": {
        "operationId": "getOpenApi",
        "tags": ["Service"],
        "summary": "This document.",
        "security": [],
        "responses": { "200": {
            "description": "OpenAPI 3.1.",
            "content": { "application/json": { "schema": { "type": "object" } } },
        } },
    } });
    let components = &mut document["components"];
    components["securitySchemes"] = security_schemes();
    components["headers"] = headers();
    components["responses"] = refusals();
    let schemas = components["schemas"].as_object_mut().expect("schemas");
    schemas.insert("Problem".to_owned(), problem());
    schemas.insert("GatewayMessage".to_owned(), gateway_message());
    let schemas = schemas.clone();
    let mut sent = BTreeSet::new();
    for path in document["paths"]
        .as_object_mut()
        .expect("paths")
        .values_mut()
    {
        for operation in path.as_object_mut().expect("operations").values_mut() {
            complete(operation, &schemas);
            refer(&operation["requestBody"], &schemas, &mut sent);
        }
    }
    close(&mut document["components"]["schemas"], &sent);
    let mut text = serde_json::to_string_pretty(&document).expect("a description is JSON");
    text.push('\n');
    text
}

/// Adds to `named` the schemas that `value` refers to, and those that they refer to.
fn refer(value: &Value, schemas: &Map<String, Value>, named: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            if let Some(name) = object.get("$ref").and_then(schema_name)
                && named.insert(name.to_owned())
            {
                refer(&schemas[name], schemas, named);
            }
            object.values().for_each(|it| refer(it, schemas, named));
        }
        Value::Array(items) => items.iter().for_each(|it| refer(it, schemas, named)),
        _ => {}
    }
}

fn schema_name(to: &Value) -> Option<&str> {
    to.as_str()?.strip_prefix("#/components/schemas/")
}

/// Requests with a field that is not known are refused: the shapes of what is sent are closed.
fn close(schemas: &mut Value, sent: &BTreeSet<String>) {
    for name in sent {
        if schemas[name]["properties"].is_object() {
            schemas[name]["additionalProperties"] = false.into();
        }
    }
}

/// Whether what is answered has a version, which is then its ETag.
fn has_version(schema: &Value, schemas: &Map<String, Value>) -> bool {
    let parts = schema["allOf"].as_array();
    let named = schema_name(&schema["$ref"]).map(|name| &schemas[name]);
    schema["properties"]["version"].is_object()
        || named.is_some_and(|it| has_version(it, schemas))
        || parts.is_some_and(|parts| parts.iter().any(|it| has_version(it, schemas)))
}

/// Adds to an operation what follows from what it takes.
fn complete(operation: &mut Value, schemas: &Map<String, Value>) {
    let parameter = |place: &str, name: Option<&str>| {
        let parameters = operation["parameters"].as_array();
        parameters.into_iter().flatten().any(|it| {
            it["in"] == place && name.is_none_or(|name| it["name"].as_str() == Some(name))
        })
    };
    let security = operation["security"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let secured = |scheme: &str| security.iter().any(|it| it.get(scheme).is_some());
    let public = security
        .iter()
        .all(|it| it.as_object().is_some_and(Map::is_empty));
    let has_body = !operation["requestBody"].is_null();
    let mut statuses = vec!["500", "503"];
    if !public {
        statuses.push("429");
    }
    if secured("admin") {
        statuses.extend(["401", "403"]);
    }
    if secured("portal") {
        statuses.extend(["401", "404"]);
    }
    if parameter("path", None) {
        statuses.push("404");
    }
    if has_body {
        statuses.push("413");
    }
    if has_body && !secured("stripe") {
        statuses.extend(["400", "415", "422"]);
    }
    if parameter("query", None) || secured("admin") {
        statuses.extend(["400", "422"]);
    }
    if parameter("header", Some("If-Match")) {
        statuses.push("412");
    }
    let scopes = security.iter().filter_map(|it| it["admin"].as_array());
    let writes = scopes
        .flatten()
        .filter_map(Value::as_str)
        .any(|scope| scope.ends_with(":write"));
    if writes || parameter("header", Some("Idempotency-Key")) {
        statuses.push("409");
    }
    let responses = operation["responses"].as_object_mut().expect("responses");
    for status in statuses {
        responses
            .entry(status)
            .or_insert_with(|| json!({ "$ref": format!("#/components/responses/{status}") }));
    }
    for (status, response) in responses.iter_mut() {
        if response.get("$ref").is_none() {
            let body = &response["content"]["application/json"]["schema"];
            let mut named = vec!["X-Correlation-Id"];
            if !public && !secured("stripe") {
                named.extend(["X-RateLimit-Limit", "X-RateLimit-Remaining"]);
            }
            if has_version(body, schemas) {
                named.push("ETag");
            }
            // What a portal raises is read by admins, and so it is not told where.
            if matches!(status.as_str(), "201" | "202") && secured("admin") {
                named.push("Location");
            }
            tell_headers(response, &named);
        }
    }
    if public {
        operation["security"] = json!([]);
    }
    let parameters = operation
        .get_mut("parameters")
        .and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        drop_null(&mut parameter["schema"]);
    }
}

/// A parameter may be left out, but no text of a header or a query is null.
fn drop_null(schema: &mut Value) {
    if let Some(kinds) = schema.get_mut("type").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind != "null");
        if let [kind] = &kinds[..] {
            schema["type"] = kind.clone();
        }
    }
}

fn tell_headers(response: &mut Value, named: &[&str]) {
    for name in named {
        response["headers"][name] = json!({ "$ref": format!("#/components/headers/{name}") });
    }
}

fn security_schemes() -> Value {
    json!({
        "admin": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An admin's token; each operation names the scope that it needs.",
        },
        "portal": {
            "type": "apiKey",
            "in": "header",
            "name": "X-Signature",
            "description": "`t=<unix seconds>,v1=<hex HMAC-SHA256 of \"<t>.<raw body>\">` with the university's portal secret, within 300 s.",
        },
        "stripe": {
            "type": "apiKey",
            "in": "header",
            "name": "Stripe-Signature",
            "description": "Stripe's signature of the raw body.",
        },
    })
}

fn headers() -> Value {
    let number = |about: &str| json!({ "description": about, "schema": { "type": "integer" } });
    let text = |about: &str| json!({ "description": about, "schema": { "type": "string" } });
    json!({
        "X-Correlation-Id": text("The request's id, which every log line and event carries."),
        "X-RateLimit-Limit": number("Requests that the sender may make in a minute."),
        "X-RateLimit-Remaining": number("How many of them are left."),
        "Retry-After": number("Seconds after which it may be tried again."),
        "Location": text("Where it can be read."),
        "ETag": {
            "description": "The version; what If-Match takes.",
            "schema": { "type": "string", "pattern": "^\"[0-9]+\"$" },
            "example": "\"2\"",
        },
        "WWW-Authenticate": text("How to say who asks: `Bearer`, or `X-Signature` where portals call."),
    })
}

/// What is refused, and how. API Gateway refuses in words of its own before a function is asked.
fn refusals() -> Value {
    let refused = |about: &str, by_gateway: bool| {
        let mut content = json!({
            "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
        });
        if by_gateway {
            content["application/json"] =
                json!({ "schema": { "$ref": "#/components/schemas/GatewayMessage" } });
        }
        json!({ "description": about, "content": content })
    };
    let mut refusals = json!({
        "400": refused("It cannot be read.", false),
        "401": refused("Who asks is not known.", true),
        "403": refused("Who asks may not do this.", true),
        "404": refused("There is no such thing.", true),
        "409": refused("It contradicts what is stored.", false),
        "412": refused("It is not the version that If-Match names.", false),
        "413": refused("The body is too large.", true),
        "415": refused("The body is of another type.", false),
        "422": refused("Something in it is wrong; `errors` names what.", false),
        "429": refused("Too many requests.", true),
        "500": refused("This is our fault.", true),
        "503": refused("Something that it needs is busy; it may be tried again.", true),
    });
    for (status, refusal) in refusals.as_object_mut().expect("refusals") {
        // Whoever is refused before being counted, or by the gateway, is told less.
        let mut named = vec![
            "X-Correlation-Id",
            "X-RateLimit-Limit",
            "X-RateLimit-Remaining",
        ];
        match status.as_str() {
            "401" | "403" => named.push("WWW-Authenticate"),
            "429" | "503" => named.push("Retry-After"),
            _ => {}
        }
        tell_headers(refusal, &named);
    }
    refusals
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457.",
        "required": ["type", "title", "status", "detail", "correlation_id"],
        "properties": {
            "type": { "type": "string", "format": "uri-reference" },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string" },
            "correlation_id": { "type": "string" },
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": {
                        "field": { "type": "string" },
                        "message": { "type": "string" },
                    },
                },
            },
            "current_version": { "type": "integer", "minimum": 1 },
        },
        "example": {
            "type": "urn:bitflow:problem:validation",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "These fields are wrong: name.",
            "correlation_id": "Ksm2ghpLoAMEPQw=",
            "errors": [{ "field": "name", "message": "is required" }],
        },
    })
}

fn gateway_message() -> Value {
    json!({
        "type": "object",
        "description": "API Gateway's own answer.",
        "required": ["message"],
        "properties": { "message": { "type": "string" } },
    })
}
