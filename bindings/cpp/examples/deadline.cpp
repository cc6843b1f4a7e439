// SPDX-License-Identifier: MIT
// Has a moment passed, for certain?  The interval answers; a single number cannot.
#include <exception>
#include <iostream>

#include <ffclock.hpp>

int main(int argc, char **argv)
try {
	using namespace std::chrono_literals;

	ff::handle clocks = argc > 1 ? ff::handle(argv[1]) : ff::handle();
	auto moment = clocks.now<ff::utc_clock>();

	for (auto wait : { 0ms, 1ms, 1000ms }) {
		auto start = clocks.now<ff::mono_clock>();

		while (clocks.now<ff::mono_clock>() - start < wait)
			;
		auto now = clocks.now();

		std::cout << wait.count() << " ms later: "
			  << (now.after(moment) ? "passed" : now.before(moment) ? "to come" :
			      "cannot be told yet")
			  << ", " << to_string(now.status) << '\n';
	}
	return 0;
} catch (const std::exception &e) {
	std::cerr << e.what() << '\n';
	return 1;
}
