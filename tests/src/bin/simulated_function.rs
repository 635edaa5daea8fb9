//! The function of the simulations, as a program.

fn main() {
    lambda_otlp_tests::simulation::run_in_lambda();
}
