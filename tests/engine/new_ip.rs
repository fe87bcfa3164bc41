//! `new_ip`: accepted use from a network that neither the key nor the merchant's other keys know.

use crate::lab::check_with;

#[track_caller]
fn check(script: &str, want: &str) {
    check_with("new-ip", &[], script, want);
}

#[test]
fn a_new_network_is_told_once_and_ends_a_day_later() {
    check(
        "0d..5d/1h k ok 203.0.113.1
         5d10:00 k ok 198.51.100.7
         5d11:00 k ok 198.51.100.8
         end 7d",
        "k network 198.51.100.0/24 5d10:00..6d10:00 high r2",
    );
}

#[test]
fn a_known_network_is_quiet_whichever_its_address() {
    check("0d..5d/1h k ok 203.0.113.1\n 5d10:00 k ok 203.0.113.250\n end 7d", "");
    check("0d..5d/1h k ok 2001:db8:1::1\n 5d10:00 k ok 2001:db8:1:ffff::9\n end 7d", "");
}

#[test]
fn a_known_prefix_stays_known() {
    check(
        "0d00:30 k ok 198.51.100.7
         0d..60d/1h k ok 203.0.113.1
         60d10:00 k ok 198.51.100.7
         end 62d",
        "",
    );
}

#[test]
fn what_another_key_of_the_merchant_uses_is_known() {
    check(
        "0d..5d/1h k ok 203.0.113.1
         0d..5d/1h other ok 198.51.100.7
         5d10:00 k ok 198.51.100.7
         end 7d",
        "",
    );
    check(
        "0d..5d/1h k ok 203.0.113.1
         0d..5d/1h m2/other ok 198.51.100.7
         5d10:00 k ok 198.51.100.7
         end 7d",
        "k network 198.51.100.0/24 5d10:00..6d10:00 high r2",
    );
}

#[test]
fn a_key_that_is_still_learned_is_quiet() {
    check("0d..2d23:00/1h k ok 203.0.113.1\n 2d23:30 k ok 198.51.100.7\n end 5d", "");
    check("0d..5d/12h k ok 203.0.113.1\n 5d10:00 k ok 198.51.100.7\n end 7d", "");
}

#[test]
fn a_key_that_roams_is_quiet() {
    check(
        "0d..5d/1h k ok 203.0.113.1 x10
         4d01:30 k ok 198.51.100.1
         4d02:30 k ok 198.51.101.1
         4d03:30 k ok 198.51.102.1
         4d04:30 k ok 198.51.103.1
         end 4d23:00",
        "k network 198.51.100.0/24 4d01:30.. high r4",
    );
    // Every fourth call from a network of its own: the next one is no surprise.
    let mut script = String::from("0d..5d/1h k ok 203.0.113.1\n 5d10:00 k ok 198.51.100.7\n end 7d");
    for n in 0..12 {
        script.push_str(&format!("\n 1d{n:02}:10 k ok 192.0.{n}.1"));
    }
    check(&script, "");
}

#[test]
fn a_refused_call_is_none_of_its_business_and_teaches_nothing() {
    check(
        "0d..5d/1h k ok 203.0.113.1
         5d10:00 k denied 198.51.100.7
         5d11:00 k ok 198.51.100.7
         end 7d",
        "k network 198.51.100.0/24 5d11:00..6d11:00 high r2",
    );
}

#[test]
fn two_new_networks_are_one_episode() {
    check(
        "0d..5d/1h k ok 203.0.113.1
         5d10:00 k ok 198.51.100.7
         5d11:00 k ok 192.0.2.7
         end 7d",
        "k network 198.51.100.0/24 5d10:00..6d11:00 high r3",
    );
}

#[test]
fn its_parameters_are_heard() {
    let script = "0d..1d/1h k ok 203.0.113.1\n 1d10:00 k ok 198.51.100.7\n end 3d";
    check(script, "");
    let want = "k network 198.51.100.0/24 1d10:00..1d22:00 high r2";
    check_with("new-ip", &["new-ip.learning=1d", "new-ip.quiet=12h"], script, want);
}
