//! Table `university_domains`: key `domain`. A row is a claim: one domain, one university.

use bitflow_domain::contact::DomainName;
use bitflow_domain::id::UniversityId;
use serde::Serialize;

use crate::item::to_item;
use crate::transaction::{Guard, Transaction};

/// The table `university_domains`: whose domain is whose.
#[derive(Debug, Clone)]
pub struct UniversityDomains {
    table: String,
}

impl UniversityDomains {
    /// The table named `table`; written within transactions only.
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            table: table.into(),
        }
    }

    /// Claims `domain` for a university; nobody else may have it.
    pub fn claim(
        &self,
        transaction: &mut Transaction,
        domain: &DomainName,
        university_id: UniversityId,
    ) {
        let item = to_item(&Record {
            domain,
            university_id,
        });
        transaction.insert(&self.table, "domain", item, Guard::Unique("domain"));
    }

    /// Frees `domain`, which a university has.
    pub fn release(
        &self,
        transaction: &mut Transaction,
        domain: &DomainName,
        university_id: UniversityId,
    ) {
        let key = ("domain", domain.as_str());
        let owner = university_id.to_string();
        transaction.remove(&self.table, key, ("university_id", &owner), "domain");
    }
}

#[derive(Serialize)]
struct Record<'a> {
    domain: &'a DomainName,
    university_id: UniversityId,
}
