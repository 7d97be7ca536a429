//! What SendGrid accepts, and the mails that come of it.

use jiff::Timestamp;
use serde_json::Value;

use super::Mail;

/// Everything that is wrong with a request: the field, and SendGrid's message.
pub(super) fn check(body: &Value) -> Vec<(Option<String>, String)> {
    let mut wrong = Vec::new();
    let mut refuse =
        |field: &str, message: &str| wrong.push((Some(field.to_owned()), message.to_owned()));
    let personalizations = body["personalizations"].as_array();
    match personalizations.map(Vec::len) {
        None | Some(0) => refuse(
            "personalizations",
            "The personalizations field is required and must have at least one personalization.",
        ),
        Some(1001..) => refuse(
            "personalizations",
            "The personalizations field can have at most 1000 entries.",
        ),
        Some(_) => {}
    }
    for (at, personalization) in personalizations.into_iter().flatten().enumerate() {
        let recipients = personalization["to"].as_array().map_or(0, Vec::len);
        if recipients == 0 {
            refuse(
                &format!("personalizations.{at}.to"),
                "The to array is required for all personalization objects, and must have at least one email object with a valid email address.",
            );
        }
        for (to, recipient) in personalization["to"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            if !is_address(&recipient["email"]) {
                refuse(
                    &format!("personalizations.{at}.to.{to}.email"),
                    "Does not contain a valid address.",
                );
            }
        }
        let arguments = personalization["custom_args"].as_object();
        if arguments.is_some_and(|it| it.values().any(|value| !value.is_string())) {
            refuse(
                &format!("personalizations.{at}.custom_args"),
                "Custom args must be strings.",
            );
        }
    }
    if !is_address(&body["from"]["email"]) {
        refuse(
            "from.email",
            "The from email does not contain a valid address.",
        );
    }
    if body["subject"].as_str().is_none_or(str::is_empty) {
        refuse(
            "subject",
            "The subject is required. You can get around this requirement if you use a template with a subject defined or if every personalization has a subject defined.",
        );
    }
    let content = body["content"].as_array();
    if content.is_none_or(Vec::is_empty) {
        refuse(
            "content",
            "The content array is required and must have at least one content object.",
        );
    }
    let kinds: Vec<&str> = content
        .into_iter()
        .flatten()
        .filter_map(|part| part["type"].as_str())
        .collect();
    if kinds
        .iter()
        .position(|kind| *kind == "text/plain")
        .is_some_and(|at| at > 0)
    {
        refuse(
            "content",
            "If present, text/plain and text/html may only be provided once, and text/plain content must be first.",
        );
    }
    for (at, part) in content.into_iter().flatten().enumerate() {
        if part["value"].as_str().is_none_or(str::is_empty) {
            refuse(
                &format!("content.{at}.value"),
                "The content value must be a string at least one character in length.",
            );
        }
    }
    if body["categories"]
        .as_array()
        .is_some_and(|it| it.len() > 10)
    {
        refuse("categories", "There may be at most 10 categories.");
    }
    wrong
}

/// One mail for each recipient.
pub(super) fn mails(body: &Value, id: &str, received_at: Timestamp) -> Vec<Mail> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let content = |kind: &str| {
        let parts = body["content"].as_array().into_iter().flatten();
        parts
            .into_iter()
            .find(|part| part["type"] == kind)
            .map(|part| text(&part["value"]))
            .unwrap_or_default()
    };
    let categories = body["categories"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
        .collect::<Vec<_>>();
    let mut mails = Vec::new();
    for personalization in body["personalizations"].as_array().into_iter().flatten() {
        for recipient in personalization["to"].as_array().into_iter().flatten() {
            mails.push(Mail {
                id: id.to_owned(),
                to: text(&recipient["email"]),
                from: text(&body["from"]["email"]),
                subject: text(&body["subject"]),
                html: content("text/html"),
                text: content("text/plain"),
                categories: categories.clone(),
                custom_args: personalization["custom_args"].clone(),
                received_at,
            });
        }
    }
    mails
}

fn is_address(value: &Value) -> bool {
    value
        .as_str()
        .and_then(|text| text.split_once('@'))
        .is_some_and(|(local, domain)| {
            !local.is_empty()
                && domain.contains('.')
                && !domain.contains(['@', ' '])
                && !local.contains(' ')
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn right() -> Value {
        json!({
            "personalizations": [{ "to": [{ "email": "a@b.cc" }], "custom_args": { "k": "v" } }],
            "from": { "email": "c@d.ee" },
            "subject": "s",
            "content": [{ "type": "text/plain", "value": "t" }, { "type": "text/html", "value": "h" }],
        })
    }

    fn check_wrong(change: impl FnOnce(&mut Value), expect: &str) {
        let mut body = right();
        change(&mut body);
        let fields: Vec<_> = check(&body)
            .into_iter()
            .filter_map(|(field, _)| field)
            .collect();
        assert_eq!(fields.join(" "), expect);
    }

    #[test]
    fn what_sendgrid_refuses() {
        check_wrong(|_| {}, "");
        check_wrong(
            |body| body["personalizations"] = json!([]),
            "personalizations",
        );
        check_wrong(
            |body| body["personalizations"][0]["to"][0]["email"] = json!("x"),
            "personalizations.0.to.0.email",
        );
        check_wrong(
            |body| body["personalizations"][0]["custom_args"]["k"] = json!(1),
            "personalizations.0.custom_args",
        );
        check_wrong(|body| body["from"]["email"] = json!(""), "from.email");
        check_wrong(|body| body["subject"] = json!(""), "subject");
        check_wrong(
            |body| body["content"].as_array_mut().unwrap().reverse(),
            "content",
        );
        check_wrong(|body| body["content"] = json!([]), "content");
    }
}
