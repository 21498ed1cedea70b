//! Lagrangian perturbation theory, the particle-mesh force, kick and drift factors, the step table and the loop that executes it.
