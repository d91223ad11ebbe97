//! The backend keeps the storage contract.

use std::sync::Arc;

use custom_backend::VecStorage;

ratatoskr_core::conformance_tests!(volatile: || async { Arc::new(VecStorage::default()) });
