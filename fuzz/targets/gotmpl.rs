//! Templates without the functions of Helm: parsed, and executed within limits.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use gitops_core::Value as Core;
use gitops_render::gotmpl::{
    Context, Failure, Functions, Host, Limits, Map, Set, Str, TEMPLATE_FUNCTIONS,
};
use libfuzzer_sys::fuzz_target;

static FUNCTIONS: LazyLock<Arc<Functions>> =
    LazyLock::new(|| Arc::new(Functions::new(&[&TEMPLATE_FUNCTIONS])));

const DATA: &[u8] = b"{a: 1, b: [x, 2, {c: null}], m: {k: v, n: -0.5}, t: true, z: ''}";

const LIMITS: Limits = Limits {
    template_depth: 1000,
    include_depth: 100,
    nesting: 1000,
    bytes: 1 << 20,
    steps: 1 << 16,
};

struct Offline;

impl Host for Offline {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }

    fn lookup(&self, _: &str, _: &str, _: &str, _: &str) -> Result<Core, Failure> {
        Ok(gitops_core::Map::new().into())
    }

    fn resolve(&self, _: &str) -> Str {
        Str::new()
    }
}

fuzz_target!(|text: &[u8]| {
    let mut set = Set::new("gotpl", FUNCTIONS.clone());
    if set.parse("t", text).is_err() {
        return;
    }
    let Ok(Core::Map(data)) = gitops_core::yaml::parse(DATA) else {
        unreachable!("the data is a map");
    };
    let mut out = Vec::new();
    let data = Map::from(data).into();
    let _ = Context::new(&set, &Offline, LIMITS).execute("t", data, &mut out);
    assert!(out.len() <= 1 << 20, "limits hold");
});
