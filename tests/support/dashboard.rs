//! Reads the dashboard: its panels, and what they ask of Prometheus.

use std::path::Path;

use serde_json::Value;

pub fn dashboard() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/keywatch-overview.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Every panel, those in closed rows too; no rows.
pub fn panels(dashboard: &Value) -> Vec<&Value> {
    let top = dashboard["panels"].as_array().unwrap();
    let inside = top.iter().filter_map(|panel| panel["panels"].as_array()).flatten();
    top.iter().chain(inside).filter(|panel| panel["type"] != "row").collect()
}

/// What is asked: by which panel or annotation, and the expression.
pub fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let mut asked = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let (title, expression) = (panel["title"].as_str().unwrap(), target["expr"].as_str().unwrap());
            asked.push((title.to_owned(), expression.to_owned()));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        let title = format!("annotation: {}", annotation["name"].as_str().unwrap());
        asked.push((title, annotation["expr"].as_str().unwrap().to_owned()));
    }
    asked
}
