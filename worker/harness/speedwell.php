<?php
// Speedwell's harness for PHP: the protocol of pyperf.py beside it, without its clothes.
//
//     require getenv("SPEEDWELL_LIBRARY") . "/speedwell.php";
//     bench("nbody", function (int $loops): void { ... });
//
// `bench` times the function, which does its work $loops times. One process runs one benchmark. Without the variable
// SPEEDWELL_HARNESS a script runs by hand and prints what it measured.
declare(strict_types=1);

namespace Speedwell;

const PROTOCOL = 1;
const EXIT_WORKER_GONE = 75;

function now(): float
{
    return hrtime(true) * 1e-9;
}

/** Writes events to the worker and waits for its answers. */
final class Worker
{
    private $events;
    private $control;

    public function __construct(array $settings)
    {
        $this->events = fopen("php://fd/{$settings["events_fd"]}", "w");
        $this->control = fopen("php://fd/{$settings["control_fd"]}", "r");
    }

    public function send(string $event, array $fields): void
    {
        fwrite($this->events, json_encode(["event" => $event] + $fields, JSON_THROW_ON_ERROR) . "\n");
    }

    public function ask(string $event, array $fields = []): void
    {
        $this->send($event, $fields);
        // Whoever started this process is gone, and so is the reason to go on.
        if (fgets($this->control) !== "ok\n") {
            exit(EXIT_WORKER_GONE);
        }
    }
}

/** Stands in for the worker when a script is run by hand. */
final class Person
{
    public function send(string $event, array $fields): void
    {
        if ($event === "value") {
            printf("%s %d: %g s\n", $fields["warmup"] ? "warm-up" : "value  ", $fields["index"], $fields["seconds"] / $fields["loops"]);
        }
    }

    public function ask(string $event, array $fields = []): void
    {
        $this->send($event, $fields);
    }
}

function bench(string $name, callable $work): void
{
    $text = getenv("SPEEDWELL_HARNESS");
    $settings = $text === false
        ? ["mode" => "timing", "loops" => 1, "warmups" => 1, "warmup_seconds" => 0, "values" => 5, "max_seconds" => 60]
        : json_decode($text, true, 16, JSON_THROW_ON_ERROR);
    if ($text !== false && $settings["protocol"] !== PROTOCOL) {
        throw new \RuntimeException("the worker speaks harness protocol {$settings["protocol"]}, this harness " . PROTOCOL);
    }
    $worker = $text === false ? new Person() : new Worker($settings);
    $worker->ask("start", ["protocol" => PROTOCOL, "pid" => getmypid(), "clock" => "hrtime", "python" => [
        "implementation" => "php", "version" => PHP_VERSION, "hexversion" => 0,
        "build" => PHP_VERSION . " (Zend " . zend_version() . ")",
    ]]);
    $loops = $settings["loops"];
    $worker->send("benchmark", ["name" => $name, "loops" => $loops, "inner_loops" => 1, "metadata" => new \stdClass()]);
    $counting = $settings["mode"] === "counters";
    $index = 0;
    $value = function (bool $warmup) use ($worker, $work, $loops, $counting, &$index): void {
        if ($counting) {
            $worker->ask("enable");
        }
        $begun = now();
        $work($loops);
        $seconds = now() - $begun;
        if ($counting) {
            $worker->ask("disable");
        }
        $worker->send("value", ["index" => $index, "warmup" => $warmup, "loops" => $loops, "inner_loops" => 1, "seconds" => $seconds]);
        $index += 1;
    };
    $begun = now();
    for ($warmed = 0; $warmed < $settings["warmups"] || now() - $begun < $settings["warmup_seconds"]; $warmed++) {
        if ($warmed > 0 && now() - $begun > $settings["max_seconds"]) {
            break;
        }
        $value(true);
    }
    for ($taken = 0; $taken < $settings["values"]; $taken++) {
        if ($taken > 0 && now() - $begun > $settings["max_seconds"]) {
            break;
        }
        $value(false);
    }
    $worker->ask("end", ["children_max_rss_bytes" => null]);
}

/** Ends with an error when a result is wrong: a fast wrong answer is no measurement. */
function check(mixed $found, mixed $expected): void
{
    if ($found !== $expected) {
        throw new \RuntimeException("the result is " . var_export($found, true) . ", it should be " . var_export($expected, true));
    }
}
