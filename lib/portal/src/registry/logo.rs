//! The logo: a file, and what the university says of it.
//!
//! The new file is there before the university names it, and the old one is removed after it does
//! not any more: whatever dies in between, what is named is there. What nobody names is swept away
//! when the files are measured ([`crate::usage::measure`]).
//!
//! What a browser uploaded is copied when it is taken, and not removed, so that whoever got no answer
//! may ask again. That sweep does not look at uploads: the bucket removes everything below `uploads/`
//! after a day, taken or not (the lifecycle rule `uploads` in `template.yaml`).

use std::sync::Mutex;

use bitflow_domain::id::{LogoId, UniversityId, UploadId};
use bitflow_domain::university::University;
use bitflow_domain::university::logo::{Logo, MAX_LOGO_BYTES, PictureFormat};
use bitflow_domain::version::Expected;
use bitflow_events::envelope::Context;
use bitflow_events::payload::{UniversityChange, UniversityUpdated};
use bitflow_fault::{Fault, Violation};
use bitflow_store::files::{FileKey, Files, SignedUrl};
use bitflow_store::idempotency::Attempt;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::change::{Next, allowed, value};
use super::{Registry, active};
use crate::error::{PortalError, load};
use crate::fresh;
use crate::picture::Picture;
use bitflow_domain::university::UniversityField;

/// How long a download's URL is good (contract section 1.2).
pub const DOWNLOADS_LAST: SignedDuration = SignedDuration::from_mins(30);

/// How long an upload's URL is good.
pub const UPLOADS_LAST: SignedDuration = SignedDuration::from_mins(15);

/// Where a browser uploads a logo to.
#[derive(Debug, Clone)]
pub struct LogoUpload {
    /// What it is committed by.
    pub id: UploadId,
    /// The request that puts it there.
    pub url: SignedUrl,
}

/// A logo, and where it can be fetched for a while.
#[derive(Debug, Clone)]
pub struct LogoDownload {
    /// The logo.
    pub logo: Logo,
    /// Where it is.
    pub url: SignedUrl,
}

impl Registry {
    /// Gives a university a logo. The same picture again changes nothing, whatever version is
    /// `expected`: what was asked for is so.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`], also for one that is deleted. [`PortalError::OtherVersion`].
    /// A file that is written by then is removed, or left to the daily measurement.
    pub async fn set_logo(
        &self,
        files: &Files,
        id: UniversityId,
        picture: &Picture,
        expected: &Expected,
        (context, now): (&Context, Timestamp),
    ) -> Result<University, PortalError> {
        const OPERATION: &str = "set logo";
        let logo = Logo {
            id: LogoId::from_uuid(fresh::uuid(now)),
            format: picture.format,
            bytes: picture.bytes.len() as u64,
            digest: hex::encode(Sha256::digest(&picture.bytes)),
            uploaded_at: now,
        };
        // Done before, or refused: then nothing is written at all.
        let stored = active(self.known(OPERATION, id).await?)?;
        if stored.with_logo(Some(logo.clone()), now).is_none() {
            return Ok(stored);
        }
        allowed(&stored, expected)?;
        let file = FileKey::logo(id, &logo);
        files
            .put(&file, picture.bytes.clone(), picture.format.media_type())
            .await
            .map_err(load(OPERATION))?;
        let written = self
            .change_logo(OPERATION, id, Some(&logo), expected, (context, now))
            .await;
        match written {
            Ok((university, replaced)) => {
                let superfluous = match &university.logo {
                    // Somebody gave it the same picture at the same moment.
                    Some(named) if named.id != logo.id => Some(file),
                    _ => replaced.map(|old| FileKey::logo(id, &old)),
                };
                remove(files, superfluous).await;
                Ok(university)
            }
            Err(error) => {
                // What was refused is not named; what got no answer may be.
                if !error.class().is_transient() {
                    remove(files, Some(file)).await;
                }
                Err(error)
            }
        }
    }

    /// What a browser uploaded for a university. It stays where it is, for whoever asks again.
    ///
    /// # Errors
    /// [`PortalError::NoUpload`], also after a day, when it has expired.
    pub async fn upload(
        &self,
        files: &Files,
        id: UniversityId,
        upload: UploadId,
    ) -> Result<bytes::Bytes, PortalError> {
        let file = FileKey::upload(id, upload);
        let found = files.get(&file, MAX_LOGO_BYTES).await;
        found.map_err(load("read upload"))?.ok_or_else(|| {
            let violation = Violation::new("upload_id", "is not of a finished upload");
            PortalError::NoUpload([violation])
        })
    }

    /// Takes a university's logo away. Where there is none, nothing is done, whatever version is
    /// `expected`.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`], also for one that is deleted. [`PortalError::OtherVersion`].
    /// That the file cannot be removed is none: the daily measurement does it.
    pub async fn remove_logo(
        &self,
        files: &Files,
        id: UniversityId,
        expected: &Expected,
        when: (&Context, Timestamp),
    ) -> Result<(), PortalError> {
        let changed = self.change_logo("remove logo", id, None, expected, when);
        let (_, removed) = changed.await?;
        remove(files, removed.map(|old| FileKey::logo(id, &old))).await;
        Ok(())
    }

    /// Where a university's logo can be fetched, for [`DOWNLOADS_LAST`].
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`], also for one that is deleted. [`PortalError::NoLogo`].
    pub async fn logo(
        &self,
        files: &Files,
        id: UniversityId,
        now: Timestamp,
    ) -> Result<LogoDownload, PortalError> {
        let operation = "show logo";
        let university = active(self.known(operation, id).await?)?;
        let logo = university.logo.ok_or(PortalError::NoLogo(id))?;
        let (file, kind) = (FileKey::logo(id, &logo), logo.format.media_type());
        let url = files.signed_get(&file, kind, DOWNLOADS_LAST, now).await;
        let url = url.map_err(load(operation))?;
        Ok(LogoDownload { logo, url })
    }

    /// Where a browser may put a logo of exactly this kind and size, for [`UPLOADS_LAST`] from the time
    /// when `attempt` began. A repeat of it is of the same upload, until the same time.
    ///
    /// # Errors
    /// [`PortalError::NoUniversity`], also for one that is deleted.
    pub async fn upload_url(
        &self,
        files: &Files,
        id: UniversityId,
        (format, bytes): (PictureFormat, u64),
        attempt: &Attempt,
    ) -> Result<LogoUpload, PortalError> {
        let operation = "prepare upload";
        active(self.known(operation, id).await?)?;
        let (upload, now) = (UploadId::from_uuid(attempt.resource), attempt.started_at);
        let (file, kind) = (FileKey::upload(id, upload), format.media_type());
        let url = files
            .signed_put(&file, (kind, bytes), UPLOADS_LAST, now)
            .await;
        let url = url.map_err(load(operation))?;
        Ok(LogoUpload { id: upload, url })
    }

    /// The university with this logo, and the one that it named before.
    async fn change_logo(
        &self,
        operation: &'static str,
        id: UniversityId,
        logo: Option<&Logo>,
        expected: &Expected,
        when: (&Context, Timestamp),
    ) -> Result<(University, Option<Logo>), PortalError> {
        let replaced = Mutex::new(None);
        let written = self.update(operation, id, when, |stored| {
            let stored = active(stored.clone())?;
            let Some(next) = stored.with_logo(logo.cloned(), when.1) else {
                *replaced.lock().expect("no holder panics") = None;
                return Ok(None);
            };
            allowed(&stored, expected)?;
            let field = UniversityField::Logo;
            let updated = UniversityUpdated {
                changes: vec![UniversityChange {
                    field,
                    old: value(&stored, field),
                    new: value(&next, field),
                }],
            };
            replaced
                .lock()
                .expect("no holder panics")
                .clone_from(&stored.logo);
            Ok(Some(Next::of(next, updated, when.1)))
        });
        let university = written.await?;
        let replaced = replaced.into_inner().expect("no holder panics");
        Ok((university, replaced))
    }
}

/// Removes a file that nobody names, as well as it can: what is left is swept away.
async fn remove(files: &Files, file: Option<FileKey>) {
    let Some(file) = file else { return };
    if let Err(error) = files.delete(&file).await {
        tracing::warn!(target: "bitflow", %error, "a file that nobody names was not removed yet");
    }
}
