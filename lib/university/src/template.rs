//! The address of a portal, from its domain: `https://{domain}:8000`.

use std::str::FromStr;

use url::Url;

use crate::guard::Refusal;

/// What the domain takes the place of.
const DOMAIN: &str = "{domain}";

/// Where portals are. `{domain}` stands in the host, or in the path where many portals are behind
/// one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate(String);

/// The text is no such template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an http or https URL such as https://{{domain}}:8000, with {{domain}} once in its host or path, and without user, query and fragment"
)]
pub struct InvalidTemplate;

impl FromStr for UrlTemplate {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        let once = text.matches(DOMAIN).count() == 1;
        let filled = text.replace(DOMAIN, "portal.example.edu");
        let url: Url = filled.parse().map_err(|_| InvalidTemplate)?;
        // Without these, what is left for the domain to stand in is host and path: a scheme or a
        // port with it in is none.
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !once || !bare || !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidTemplate);
        }
        Ok(Self(text.to_owned()))
    }
}

impl UrlTemplate {
    /// The URL of `path`, which begins with `/`, at the portal of `domain`. A domain that is none
    /// cannot move the call elsewhere; whether its address is called is not decided here.
    pub(crate) fn url(&self, domain: &str, path: &str) -> Result<Url, Refusal> {
        let label = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if !domain.split('.').all(label) {
            return Err(Refusal::Domain);
        }
        let filled = self.0.replace(DOMAIN, domain);
        let mut url: Url = filled.parse().map_err(|_| Refusal::Domain)?;
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, domain: &str, expect: Result<&str, Refusal>) {
        let template: UrlTemplate = template.parse().unwrap();
        let url = template.url(domain, "/api/notifications");
        assert_eq!(
            url.as_ref().map(Url::as_str),
            expect.as_ref().copied(),
            "{domain}"
        );
    }

    #[test]
    fn a_domain_takes_its_place() {
        for (template, domain, expect) in [
            (
                "https://{domain}:8000",
                "portal.uu.example",
                "https://portal.uu.example:8000/api/notifications",
            ),
            (
                "http://{domain}:8000/",
                "portal.uu.example",
                "http://portal.uu.example:8000/api/notifications",
            ),
            (
                "https://{domain}/bitflow/",
                "uu.example",
                "https://uu.example/bitflow/api/notifications",
            ),
            (
                "https://portal.{domain}",
                "uu.example",
                "https://portal.uu.example/api/notifications",
            ),
            (
                "http://127.0.0.1:8000/{domain}",
                "uu.example",
                "http://127.0.0.1:8000/uu.example/api/notifications",
            ),
            // An address, and for the guard to see.
            (
                "https://{domain}:8000",
                "0x7f.0x1",
                "https://127.0.0.1:8000/api/notifications",
            ),
        ] {
            check(template, domain, Ok(expect));
        }
    }

    #[test]
    fn what_is_no_domain_moves_nothing() {
        for domain in [
            "",
            ".",
            "..",
            "uu.example.",
            "uu..example",
            "evil.example/",
            "evil.example/x?",
            "evil.example#",
            "evil.example:22",
            "user@evil.example",
            "user:password@evil.example",
            "[::1]",
            "::1",
            "evil.example\\",
            "evil.example\r\nx: y",
            "evil example",
            "%31",
            "１.1.1.1",
            "{domain}",
            "999.999.999.999",
        ] {
            check("https://{domain}:8000", domain, Err(Refusal::Domain));
        }
        check("http://127.0.0.1:8000/{domain}", "..", Err(Refusal::Domain));
    }

    #[test]
    fn a_template_is_a_bare_url_with_one_place() {
        for wrong in [
            "",
            "{domain}",
            "https://portal.uu.example:8000",
            "https://{domain}:8000/{domain}",
            "ftp://{domain}:8000",
            "file:///{domain}",
            "{domain}://portal.uu.example",
            "https://user@{domain}:8000",
            "https://user:password@{domain}:8000",
            "https://{domain}@portal.uu.example",
            "https://portal.uu.example:{domain}",
            "https://{domain}:65536",
            "https://{domain}:8000?x",
            "https://portal.uu.example/?{domain}",
            "https://{domain}:8000#x",
        ] {
            assert_eq!(
                wrong.parse::<UrlTemplate>(),
                Err(InvalidTemplate),
                "{wrong:?}"
            );
        }
    }
}
