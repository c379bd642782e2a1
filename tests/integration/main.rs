//! All tests that need real servers, in one binary. `support` starts what they need.

mod contract;
mod support;
