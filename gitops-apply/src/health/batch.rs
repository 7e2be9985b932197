//! Jobs and CronJobs.

use gitops_core::{Manifest, Value};

use super::{Fields, Health, HealthStatus, degraded, healthy, progressing};

/// The status of the conditions `Failed` and `Complete` is not looked at, nor
/// is that of a finished suspension told from completion.
pub(super) fn job(object: &Manifest) -> Health {
    let (mut failure, mut suspended, mut complete) = (None, false, false);
    let mut message = "";
    for condition in object.items(&["status", "conditions"]) {
        let says = condition.text(&["message"]);
        match condition.text(&["type"]) {
            "Failed" => failure = Some(says),
            "Complete" => {
                complete = true;
                message = says;
            }
            "Suspended" => {
                complete = true;
                message = says;
                suspended = condition.text(&["status"]) == "True";
            }
            _ => {}
        }
    }
    if let Some(failure) = failure {
        degraded(failure)
    } else if !complete {
        progressing(message)
    } else if suspended {
        Health::new(HealthStatus::Suspended, message)
    } else {
        healthy(message)
    }
}

pub(super) fn cron_job(object: &Manifest) -> Health {
    if object.at(&["spec", "suspend"]).and_then(Value::as_bool) == Some(true) {
        return healthy("CronJob is Suspended");
    }
    if object.at(&["status"]).is_none() {
        return progressing("Waiting for CronJob");
    }
    let scheduled = object.text(&["status", "lastScheduleTime"]);
    let succeeded = object.text(&["status", "lastSuccessfulTime"]);
    if scheduled.is_empty() {
        return healthy("CronJob has not been scheduled yet");
    }
    if succeeded.is_empty() {
        return healthy("The Cronjob never completed succesfully. It may not be healthy");
    }
    if !object.items(&["status", "active"]).is_empty() {
        return healthy("The job is running. Its last execution may not have been successful");
    }
    // Both are RFC 3339 in UTC, whose order is that of the texts.
    if succeeded < scheduled {
        return degraded("CronJob has not completed its last execution successfully");
    }
    healthy("CronJob has completed its last execution successfully")
}
