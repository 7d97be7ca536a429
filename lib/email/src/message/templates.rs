//! What every mail has in common.

/// What a mail says besides its two bodies.
pub(super) trait Mail {
    /// SendGrid's category, for its statistics.
    const CATEGORY: &str;

    /// The subject, for the university of that name.
    fn subject(&self, university: &str) -> String;
}

/// Gives a [`Mail`] its two templates, checked when they are compiled, and `render`.
macro_rules! templates {
    ($mail:ident, $html:literal, $text:literal) => {
        #[derive(askama::Template)]
        #[template(path = $html)]
        struct Html<'a> {
            mail: &'a $mail,
            university: &'a str,
            subject: &'a str,
        }

        #[derive(askama::Template)]
        #[template(path = $text)]
        struct Text<'a> {
            mail: &'a $mail,
            university: &'a str,
        }

        impl $mail {
            pub(super) fn render(&self, university: &str) -> $crate::message::Rendered {
                use $crate::message::templates::{Mail, rendered};
                let subject = $crate::message::one_line(&self.subject(university));
                $crate::message::Rendered {
                    html: rendered(&Html {
                        mail: self,
                        university,
                        subject: &subject,
                    }),
                    text: rendered(&Text {
                        mail: self,
                        university,
                    }),
                    category: Self::CATEGORY,
                    subject,
                }
            }
        }
    };
}

pub(super) use templates;

/// Only a broken `Display` could fail here.
pub(super) fn rendered(template: &impl askama::Template) -> String {
    template
        .render()
        .expect("everything a template shows can be shown")
}
