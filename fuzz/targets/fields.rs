//! Sets of fields, as `managedFields` writes them: the laws of sets.

#![no_main]

use gitops_core::json;
use gitops_diff::smd::Set;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(value) = json::parse(text) else { return };
    let Ok(set) = Set::from_fields_v1(&value) else {
        return;
    };
    let again = Set::from_fields_v1(&set.to_fields_v1()).expect("what is written is read");
    assert_eq!(again, set);
    let paths = set.paths();
    assert_eq!(paths.len(), set.len());
    assert_eq!(paths.iter().collect::<Set>(), set);
    for path in &paths {
        assert!(set.has(&path.0), "{path}");
    }
    assert_eq!(set.union(&set), set);
    assert_eq!(set.intersection(&set), set);
    assert!(set.difference(&set).is_empty());
    let leaves = set.leaves();
    assert_eq!(leaves.union(&set), set);
    assert!(leaves.difference(&set).is_empty());
});
