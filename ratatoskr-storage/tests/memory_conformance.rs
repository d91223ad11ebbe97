//! The memory backend keeps the storage contract.

use std::sync::Arc;

use ratatoskr_storage::MemoryStorage;

ratatoskr_core::conformance_tests!(volatile: || async { Arc::new(MemoryStorage::new()) });
