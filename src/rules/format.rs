//! `keywatch rules fmt`: rule files, and files of their tests, as they should be set.

use super::{RuleFile, fields, scenario};
use crate::yaml::Problem;
use crate::yaml::format::{Tables, format as set};

/// The text of a file as it should be. Fields of rules come in the reference's order; files of tests keep theirs.
pub fn format(file: &RuleFile) -> Result<String, Vec<Problem>> {
    let tables = match file.name.ends_with(".test.yml") {
        true => Tables { file: scenario::schema::FILE, groups: &[], whole: None },
        false => Tables { file: fields::FILE, groups: fields::GROUPS, whole: Some("rule") },
    };
    set(&file.name, &file.text, tables)
}
