//! What must be in no log.

use serde_json::Value;

use crate::support::TestStack;

/// What is looked for, and what it is.
#[derive(Default)]
pub(crate) struct Needles {
    texts: Vec<(&'static str, String)>,
}

impl Needles {
    /// A text, as it is and as a form or a URL has it.
    pub(crate) fn add(&mut self, what: &'static str, text: &str) {
        assert!(
            text.len() >= 8,
            "{what} is too short to be looked for: {text}"
        );
        let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        for text in [text.to_owned(), encoded] {
            if !self.texts.iter().any(|(_, known)| *known == text) {
                self.texts.push((what, text));
            }
        }
    }

    /// The signature in a header: what comes after the last `=` or `:`.
    pub(crate) fn of_header(&mut self, what: &'static str, header: &str) {
        let signature = header.rsplit(['=', ':']).next().unwrap_or_default();
        self.add(what, signature);
    }

    /// The signatures in whatever signed URLs an answer holds.
    pub(crate) fn of_urls(&mut self, answer: &Value) {
        let text = answer.to_string();
        assert!(text.contains("X-Amz-Signature="), "no signed URL: {text}");
        for part in text.split("X-Amz-Signature=").skip(1) {
            let end = part.find(|it: char| !it.is_ascii_hexdigit());
            self.add("a signed URL", &part[..end.unwrap_or(part.len())]);
        }
    }

    /// The secrets that a stack starts with: those of its clients, and those of its functions.
    pub(crate) fn of_stack(&mut self, stack: &TestStack) {
        let info = stack.info();
        self.add("a token", &info.admin_token);
        self.of_header("a token's signature", &info.admin_token.replace('.', "="));
        self.add("Stripe's signing secret", &info.stripe_webhook_secret);
        self.add("Pusher's secret", &info.pusher.secret);
        self.add("the AWS secret", &info.aws.secret_access_key);
        let functions = stack.model().functions.iter();
        for (name, value) in functions.flat_map(|it| &it.environment) {
            if name.ends_with("_SECRET") || name.ends_with("_API_KEY") {
                self.add("a secret of the environment", value);
            }
        }
    }

    /// What went to vendors and portals.
    pub(crate) fn of_traffic(&mut self, stack: &TestStack) {
        for mail in stack.mails() {
            self.add("a recipient", &mail.to);
            self.add("a subject", &mail.subject);
        }
        for request in stack.stripe.requests() {
            if let Some(header) = request.headers.get("authorization") {
                self.add("an Authorization header", header);
            }
        }
        for request in stack.portal.requests() {
            if let Some(header) = request.headers.get("x-signature") {
                self.of_header("an X-Signature", header);
            }
        }
    }

    /// What of it is in a line; also what looks like any signature, token, secret or address.
    pub(crate) fn in_line(&self, line: &str) -> Vec<&'static str> {
        let known = self.texts.iter().filter(|(_, text)| line.contains(text));
        let mut found: Vec<_> = known.map(|(what, _)| *what).collect();
        let looks = [
            ("eyJ", "what looks like a token"),
            ("psk_", "what looks like a portal's secret"),
            ("whsec_", "what looks like a signing secret"),
            ("sk_test", "what looks like a key of Stripe's"),
            ("SG.", "what looks like a key of SendGrid's"),
            ("X-Amz-Signature", "what looks like a signed URL"),
            ("v1=", "what looks like a signature"),
            ("%40", "what looks like an address"),
        ];
        found.extend(
            looks
                .iter()
                .filter(|(part, _)| line.contains(part))
                .map(|(_, what)| *what),
        );
        let mut between = line.split(|it: char| !it.is_ascii_hexdigit());
        if between.any(|digits| digits.len() >= 64) {
            found.push("what looks like a signature");
        }
        // A place in a path of ours may have one: `@` between letters is what an address has.
        let bytes = line.as_bytes();
        let letter = |at: Option<&u8>| at.is_some_and(u8::is_ascii_alphanumeric);
        let address = |at: usize| at > 0 && letter(bytes.get(at - 1)) && letter(bytes.get(at + 1));
        if line.match_indices('@').any(|(at, _)| address(at)) {
            found.push("what looks like an address");
        }
        found
    }
}
