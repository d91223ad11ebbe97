//! A request's header: which API, in which version, from whom.

use bytes::Bytes;

use crate::{
    api::{self, Api},
    reader::{Malformed, Reader},
    reply::Reply,
};

/// A request whose header is read and whose body is still to be.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) api: &'static Api,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    /// How the client names itself.
    pub(crate) client: &'a str,
    pub(crate) body: Reader<'a>,
}

/// Why a request cannot be answered at all: the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswerable {
    /// An API that is not advertised, or not in this version.
    #[error("API {key} in version {version} is not spoken here")]
    NotSpoken {
        /// The key.
        key: i16,
        /// The version.
        version: i16,
    },
    /// Not what it says it is.
    #[error("API {key} in version {version}: {malformed}")]
    Malformed {
        /// The key.
        key: i16,
        /// The version.
        version: i16,
        /// What is wrong.
        malformed: Malformed,
    },
}

impl<'a> Request<'a> {
    /// Reads the header of a request.
    ///
    /// # Errors
    /// [`Unanswerable`]. A version of `ApiVersions` that is too new is no error: that request is
    /// answered with the versions that are spoken, its body unread.
    pub(crate) fn read(frame: &'a Bytes, elements_max: usize) -> Result<Self, Unanswerable> {
        let mut body = Reader::new(frame, elements_max);
        let short = |malformed| Unanswerable::Malformed {
            key: -1,
            version: -1,
            malformed,
        };
        let key = body.i16().map_err(short)?;
        let version = body.i16().map_err(short)?;
        let correlation = body.i32().map_err(short)?;
        let api = api::find(key).ok_or(Unanswerable::NotSpoken { key, version })?;
        let mut request = Self {
            api,
            version,
            correlation,
            client: "",
            body,
        };
        if !api.versions.contains(&version) {
            if api.is_api_versions() {
                return Ok(request);
            }
            return Err(Unanswerable::NotSpoken { key, version });
        }
        let read = request.read_rest();
        read.map_err(|malformed| request.malformed(malformed))?;
        Ok(request)
    }

    fn read_rest(&mut self) -> Result<(), Malformed> {
        // The client's name was never made compact, not even in the flexible header.
        self.client = self.body.nullable_string()?.unwrap_or_default();
        self.body.set_flexible(self.api.is_flexible(self.version));
        self.body.end_of_structure()
    }

    pub(crate) const fn malformed(&self, malformed: Malformed) -> Unanswerable {
        Unanswerable::Malformed {
            key: self.api.key,
            version: self.version,
            malformed,
        }
    }

    /// A response to this request, to be filled.
    pub(crate) fn reply(&self) -> Reply {
        let flexible = self.body.is_flexible();
        // A client that knows no version yet must be able to read this one.
        let flexible_header = flexible && !self.api.is_api_versions();
        Reply::new(self.correlation, flexible_header, flexible)
    }
}
