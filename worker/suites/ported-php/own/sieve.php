<?php
// Primes below a hundred thousand, by the sieve of Eratosthenes.
declare(strict_types=1);
require getenv("SPEEDWELL_LIBRARY") . "/speedwell.php";

const LIMIT = 100000;

function sieve(): int
{
    $composite = array_fill(0, LIMIT, false);
    $count = 0;
    for ($number = 2; $number < LIMIT; $number++) {
        if ($composite[$number]) {
            continue;
        }
        $count++;
        for ($multiple = $number * $number; $multiple < LIMIT; $multiple += $number) {
            $composite[$multiple] = true;
        }
    }
    return $count;
}

Speedwell\bench("sieve", function (int $loops): void {
    for ($loop = 0; $loop < $loops; $loop++) {
        Speedwell\check(sieve(), 9592);
    }
});
