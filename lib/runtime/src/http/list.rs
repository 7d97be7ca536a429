//! Lists: `limit` and `cursor` in, `{data, next_cursor}` out (`infra/ARCHITECTURE.md` §6).

use serde::Serialize;

use super::problem::Problem;
use super::query::Parameters;

/// Entries of a page where the client names no number.
const USUAL: u8 = 25;

/// A page of a list, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct List<T> {
    /// The entries.
    pub data: Vec<T>,
    /// The next page's `cursor`; null after the last.
    pub next_cursor: Option<String>,
}

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Entries at most: 1 to 100.
    pub limit: u8,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Parameters {
    /// The page that is asked for, the last of the parameters; 422 if any of all is wrong.
    pub fn finish_list(mut self) -> Result<Wanted, Problem> {
        let limit = self.optional("limit", |text| match text.parse() {
            Ok(number @ 1..=100) => Ok(number),
            _ => Err("must be a whole number from 1 to 100"),
        });
        let cursor = self.optional("cursor", |text| Ok::<_, &str>(text.to_owned()));
        self.finish()?;
        Ok(Wanted {
            limit: limit.unwrap_or(USUAL),
            cursor,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limit: Option<&str>, expect: Option<u8>) {
        let given = limit.map(|limit| ("limit".to_owned(), limit.to_owned()));
        let wanted = Parameters::of(given.into_iter().collect()).finish_list();
        assert_eq!(wanted.ok().map(|wanted| wanted.limit), expect, "{limit:?}");
    }

    #[test]
    fn limits() {
        check(None, Some(25));
        check(Some("1"), Some(1));
        check(Some("100"), Some(100));
        for wrong in ["", "0", "101", "-1", "1.5", "ten", "300"] {
            check(Some(wrong), None);
        }
    }
}
