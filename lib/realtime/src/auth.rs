//! Signatures of the HTTP API and of channel subscriptions.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use md5::{Digest, Md5};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// An app's credentials.
#[derive(Debug, Clone)]
pub struct App {
    /// The app's id, in paths.
    pub id: String,
    /// Its key, public.
    pub key: String,
    /// Its secret.
    pub secret: SecretString,
}

impl App {
    /// The signed query of a request with a body, its parameters in order.
    /// <https://pusher.com/docs/channels/library_auth_reference/rest-api/#authentication>
    pub fn sign_request(&self, method: &str, path: &str, body: &[u8], at: Timestamp) -> String {
        let md5 = hex::encode(Md5::digest(body));
        let query = format!(
            "auth_key={}&auth_timestamp={}&auth_version=1.0&body_md5={md5}",
            self.key,
            at.as_second()
        );
        let signature = self.sign(&format!("{method}\n{path}\n{query}"));
        format!("{query}&auth_signature={signature}")
    }

    /// The `auth` of a private channel's subscription; with `channel_data` of a presence channel's.
    /// <https://pusher.com/docs/channels/library_auth_reference/auth-signatures/>
    pub fn sign_subscription(
        &self,
        socket_id: &str,
        channel: &str,
        channel_data: Option<&str>,
    ) -> String {
        let mut signed = format!("{socket_id}:{channel}");
        if let Some(data) = channel_data {
            signed.push(':');
            signed.push_str(data);
        }
        format!("{}:{}", self.key, self.sign(&signed))
    }

    /// HMAC-SHA256 of a string to sign, hex; what both signatures above are made of.
    pub fn sign(&self, text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose_secret().as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

/// Whether a text is a socket's id: two numbers with a point between them.
pub fn is_socket_id(text: &str) -> bool {
    let number = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 64
        && text
            .split_once('.')
            .is_some_and(|(a, b)| number(a) && number(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> App {
        App {
            id: "3".to_owned(),
            key: "278d425bdf160c739803".to_owned(),
            secret: "7ad3773142a6692b25b8".to_owned().into(),
        }
    }

    /// The worked examples of Pusher's documentation.
    #[test]
    fn documented_signatures() {
        let body = br#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        let at = Timestamp::from_second(1_353_088_179).unwrap();
        assert_eq!(
            app().sign_request("POST", "/apps/3/events", body, at),
            "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0\
             &body_md5=ec365a775a4cd0599faeb73354201b6f\
             &auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
        );
        assert_eq!(
            app().sign_subscription("1234.1234", "private-foobar", None),
            "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
        );
        let data = r#"{"user_id":10,"user_info":{"name":"Mr. Channels"}}"#;
        assert_eq!(
            app().sign_subscription("1234.1234", "presence-foobar", Some(data)),
            "278d425bdf160c739803:31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80"
        );
    }

    #[test]
    fn socket_ids() {
        assert!(is_socket_id("1234.1234"));
        for wrong in ["", "1", "1.", ".1", "1.2.3", "1.2:x", "a.b", "1.2\n"] {
            assert!(!is_socket_id(wrong), "{wrong:?}");
        }
    }
}
