//! Universities' portals, as those who call us (`X-Signature`, `infra/ARCHITECTURE.md` §6).

use bitflow_domain::id::UniversityId;
use bitflow_domain::university::{University, UniversityStatus};
use bitflow_store::universities::Universities;
use bitflow_university::{SignatureError, verify};
use jiff::Timestamp;

use crate::error::{PortalError, load};
use crate::fresh;

/// A portal that is known to call.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose portal it is; it is not deleted.
    pub university: University,
    /// Of what was signed: the same for every copy of the call.
    pub digest: String,
}

/// The portal of `university_id`, if it signed `body`.
///
/// Before that is known, a university that there is not looks like one whose signature is wrong;
/// that one is deleted is told to its own portal only.
///
/// # Errors
/// [`PortalError::Signature`]. [`PortalError::NoUniversity`] for a deleted one, whose portal signed
/// it.
pub async fn authenticate(
    universities: &Universities,
    university_id: UniversityId,
    (signature, body): (&str, &[u8]),
    now: Timestamp,
) -> Result<Caller, PortalError> {
    let found = universities.get(university_id).await;
    let found = found.map_err(load("authenticate portal"))?;
    let Some(university) = found else {
        // The same work as for one that there is.
        let nobodys = fresh::portal_secret();
        let refused = verify(&[&nobodys], signature, body, now).err();
        let refused = refused.unwrap_or(SignatureError::Mismatch);
        return Err(PortalError::Signature(refused));
    };
    let secrets: Vec<_> = university.portal_secrets.accepted(now).collect();
    let signed = verify(&secrets, signature, body, now).map_err(PortalError::Signature)?;
    match university.status {
        UniversityStatus::Active => Ok(Caller {
            university,
            digest: signed.digest,
        }),
        UniversityStatus::Deleted => Err(PortalError::NoUniversity(university_id)),
    }
}
