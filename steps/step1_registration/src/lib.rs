use pgrx::prelude::*;
::pgrx::pg_module_magic!(name, version);
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {}
#[cfg(test)]
pub mod pg_test {
    pub fn setup(_options: Vec<&str>) {}
    pub fn postgresql_conf_options() -> Vec<&'static str> { vec!["shared_preload_libraries = 'step1_registration'"] }
}
#[cfg(any(test, feature = "pg_test"))]
#[pg_schema]
mod tests {
    use pgrx::prelude::*;
    #[pg_test]
    fn one() { assert_eq!(1, 1); }
}
