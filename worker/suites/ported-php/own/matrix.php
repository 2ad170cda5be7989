<?php
// Product of two matrices of floats, by three plain loops.
declare(strict_types=1);
require getenv("SPEEDWELL_LIBRARY") . "/speedwell.php";

const SIZE = 60;

function matrix(int $seed): array
{
    $rows = [];
    for ($row = 0; $row < SIZE; $row++) {
        $line = [];
        for ($column = 0; $column < SIZE; $column++) {
            $line[] = (float) (($row * $seed + $column * 7) % 11);
        }
        $rows[] = $line;
    }
    return $rows;
}

function multiply(array $left, array $right): array
{
    $product = [];
    foreach ($left as $row) {
        $line = [];
        for ($column = 0; $column < SIZE; $column++) {
            $total = 0.0;
            for ($index = 0; $index < SIZE; $index++) {
                $total += $row[$index] * $right[$index][$column];
            }
            $line[] = $total;
        }
        $product[] = $line;
    }
    return $product;
}

$left = matrix(3);
$right = matrix(5);
Speedwell\bench("matrix", function (int $loops) use ($left, $right): void {
    for ($loop = 0; $loop < $loops; $loop++) {
        $product = multiply($left, $right);
    }
    Speedwell\check(array_sum(array_map("array_sum", $product)), 5400175.0);
});
