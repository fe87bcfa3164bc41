//! `env_mismatch`: a key at the endpoint of the other environment.

use crate::lab::check_with;

#[track_caller]
fn check(script: &str, want: &str) {
    check_with("env-mismatch", &[], script, want);
}

#[test]
fn both_directions_are_told_each_with_its_weight() {
    check("0d10:00 k denied 203.0.113.1 test>live\n end 2d", "k test_key_at_live 0d10:00..1d10:00 warning r2");
    check("0d10:00 k ok 203.0.113.1 live>test\n end 2d", "k live_key_at_test 0d10:00..1d10:00 high r2");
}

#[test]
fn the_same_environment_or_an_unknown_one_is_quiet() {
    check("0d10:00 k ok 203.0.113.1 live>live\n 0d11:00 k ok 203.0.113.1 test>test\n end 2d", "");
    check("0d10:00 k ok 203.0.113.1 ?>live\n 0d11:00 t ok 203.0.113.1 test>?\n end 2d", "");
}

#[test]
fn a_refusal_for_this_reason_is_enough() {
    check("0d10:00 k env_mismatch 203.0.113.1 test>?\n end 2d", "k test_key_at_live 0d10:00..1d10:00 warning r2");
    check("0d10:00 k rate_limited 203.0.113.1 test>?\n end 2d", "");
}

#[test]
fn facts_know_the_environment_better() {
    check(
        "fact 0d created k env=test created=0d
         0d10:00 k ok 203.0.113.1 live>live
         end 2d",
        "k test_key_at_live 0d10:00..1d10:00 warning r2",
    );
}

#[test]
fn further_calls_go_on_with_the_case_and_a_new_source_is_told() {
    check(
        "0d10:00 k denied 203.0.113.1 test>live
         0d20:00 k denied 203.0.113.2 test>live
         1d10:00 k denied 198.51.100.1 test>live
         3d10:00 k denied 198.51.100.1 test>live
         end 5d",
        "k test_key_at_live 0d10:00..2d10:00 warning r3
         k test_key_at_live 3d10:00..4d10:00 warning r2",
    );
}

#[test]
fn the_wires_other_words_mean_the_same() {
    use keywatch::event::{Env, auth::Decoder, redact::Masker};
    let decoder = Decoder::new(b"key", Masker::default());
    for (word, want) in [("live", Env::Live), ("production", Env::Live), ("test", Env::Test), ("sandbox", Env::Test)] {
        let line = format!(r#"{{"ts":1,"key_id":"k","merchant_id":"m","endpoint_env":"{word}","outcome":"ok"}}"#);
        assert_eq!(decoder.decode_auth(line.as_bytes(), None).unwrap().endpoint_env, Some(want), "{word}");
    }
}
