//! How hot the processors are, as their own sensors say.

use super::system::System;

/// Drivers of processors' sensors: Intel's, AMD's.
const DRIVERS: [&str; 3] = ["coretemp", "k10temp", "zenpower"];
/// The kernel's thermal zones of processors, where there is no driver: Intel's packages, arm64 boards.
const ZONES: [&str; 3] = ["x86_pkg_temp", "cpu", "soc"];

/// The hottest sensor in degrees Celsius; `None`: the machine has none that can be read (virtual ones do not).
pub fn hottest(system: &System) -> Option<f64> {
    let sensors = of_drivers(system);
    let sensors = if sensors.is_empty() {
        of_zones(system)
    } else {
        sensors
    };
    let hottest = sensors.into_iter().max()?;
    Some(hottest as f64 / 1_000.0)
}

/// Thousandths of a degree (kernel: Documentation/hwmon/sysfs-interface.rst).
fn of_drivers(system: &System) -> Vec<i64> {
    let all = "/sys/class/hwmon";
    let mut found = Vec::new();
    for device in system.names(all) {
        let folder = format!("{all}/{device}");
        let driver = system.read(&format!("{folder}/name")).unwrap_or_default();
        if !DRIVERS.contains(&driver.as_str()) {
            continue;
        }
        let inputs = system
            .names(&folder)
            .into_iter()
            .filter(|name| name.starts_with("temp") && name.ends_with("_input"));
        found.extend(inputs.filter_map(|name| system.number(&format!("{folder}/{name}"))));
    }
    found
}

/// As above (kernel: Documentation/driver-api/thermal/sysfs-api.rst).
fn of_zones(system: &System) -> Vec<i64> {
    let all = "/sys/class/thermal";
    let zones = system.names(all).into_iter().filter_map(|zone| {
        let kind = system.read(&format!("{all}/{zone}/type"))?;
        let known = ZONES.iter().any(|name| kind.starts_with(name));
        system
            .number(&format!("{all}/{zone}/temp"))
            .filter(|_| known)
    });
    zones.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_hottest_sensor_of_a_processor_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let system = System::below(folder.path());
        assert_eq!(hottest(&system), None);
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("sys/class/thermal/thermal_zone0/type", "acpitz\n");
        write("sys/class/thermal/thermal_zone0/temp", "99000\n");
        write("sys/class/thermal/thermal_zone1/type", "x86_pkg_temp\n");
        write("sys/class/thermal/thermal_zone1/temp", "61000\n");
        assert_eq!(hottest(&system), Some(61.0), "not the board's");
        write("sys/class/hwmon/hwmon0/name", "nvme\n");
        write("sys/class/hwmon/hwmon0/temp1_input", "80000\n");
        write("sys/class/hwmon/hwmon1/name", "coretemp\n");
        write("sys/class/hwmon/hwmon1/temp1_input", "55000\n");
        write("sys/class/hwmon/hwmon1/temp2_input", "57500\n");
        write("sys/class/hwmon/hwmon1/temp2_crit", "100000\n");
        write("sys/class/hwmon/hwmon1/temp3_input", "rubbish\n");
        assert_eq!(hottest(&system), Some(57.5));
    }
}
