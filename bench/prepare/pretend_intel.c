/* MKL asks this function whether the processor is Intel's, and takes its AVX-512 kernels only then. Preloaded, it says
   yes; MKL then chooses by what the processor can do. */
int mkl_serv_intel_cpu_true(void) { return 1; }
