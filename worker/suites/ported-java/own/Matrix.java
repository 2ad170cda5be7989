// Product of two matrices of floats, by three plain loops.
public final class Matrix {
    static final int SIZE = 60;

    static double[][] matrix(int seed) {
        double[][] rows = new double[SIZE][];
        for (int row = 0; row < SIZE; row++) {
            double[] line = new double[SIZE];
            for (int column = 0; column < SIZE; column++) {
                line[column] = (row * seed + column * 7) % 11;
            }
            rows[row] = line;
        }
        return rows;
    }

    static double[][] multiply(double[][] left, double[][] right) {
        double[][] product = new double[SIZE][];
        for (int row = 0; row < SIZE; row++) {
            double[] line = new double[SIZE];
            for (int column = 0; column < SIZE; column++) {
                double total = 0.0;
                for (int index = 0; index < SIZE; index++) {
                    total += left[row][index] * right[index][column];
                }
                line[column] = total;
            }
            product[row] = line;
        }
        return product;
    }

    public static void main(String[] arguments) throws Exception {
        double[][] left = matrix(3);
        double[][] right = matrix(5);
        Speedwell.bench("matrix", loops -> {
            double[][] product = {};
            for (long loop = 0; loop < loops; loop++) {
                product = multiply(left, right);
            }
            double sum = 0;
            for (double[] line : product) {
                for (double value : line) {
                    sum += value;
                }
            }
            Speedwell.check(sum, 5400175.0);
        });
    }
}
