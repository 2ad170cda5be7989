// Primes below a hundred thousand, by the sieve of Eratosthenes.
public final class Sieve {
    static final int LIMIT = 100000;

    static int sieve() {
        boolean[] composite = new boolean[LIMIT];
        int count = 0;
        for (int number = 2; number < LIMIT; number++) {
            if (composite[number]) {
                continue;
            }
            count++;
            // The square of a prime near the limit is beyond an int.
            for (long multiple = (long) number * number; multiple < LIMIT; multiple += number) {
                composite[(int) multiple] = true;
            }
        }
        return count;
    }

    public static void main(String[] arguments) throws Exception {
        Speedwell.bench("sieve", loops -> {
            for (long loop = 0; loop < loops; loop++) {
                Speedwell.check(sieve(), 9592);
            }
        });
    }
}
