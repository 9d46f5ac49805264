//! No code: the dependencies are the point (see Cargo.toml).
