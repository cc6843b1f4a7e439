// SPDX-License-Identifier: GPL-2.0-only
// The C++ wrapper on page files, against the C library on the same page.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <type_traits>
#include <vector>

#include <unistd.h>

#include <ffclock.hpp>

static int points, failures;
static std::string dir, page;

#define OK(cond)	ok((cond), #cond)

static void ok(bool good, const char *what)
{
	failures += !good;
	std::printf("%sok %d - %s\n", good ? "" : "not ", ++points, what);
}

template <class F> static int errno_of(F f)
{
	try {
		f();
	} catch (const std::system_error &e) {
		return e.code().value();
	}
	return 0;
}

static void make(const char *args)
{
	std::string command = dir + "/obj/unit/testpage '" + page + "' " + args;

	if (std::system(command.c_str()))
		std::printf("Bail out! %s\n", command.c_str());
}

int main(int, char **argv)
{
	using namespace ff;
	using namespace std::chrono;

	/* OUT/unit/test_cpp: OUT */
	dir = std::string(argv[0]).substr(0, std::string(argv[0]).rfind('/')) + "/..";
	page = "/tmp/ffclock-test-cpp." + std::to_string(getpid());

	static_assert(mono_clock::is_steady && !utc_clock::is_steady);
	static_assert(std::is_same_v<utc_clock::time_point::clock, utc_clock>);
	static_assert(!std::is_copy_constructible_v<handle>);
	static_assert(std::is_nothrow_move_constructible_v<handle>);
	static_assert(std::is_same_v<decltype(utc_clock::now() - utc_clock::now()), nanoseconds>);

	OK(errno_of([] { handle h("/nonexistent"); }) == ENOENT);
	make("");
	{
		handle h(page);
		struct ffclock *c;

		OK(ffclock_open_page(&c, page.c_str()) == 0);
		for (int i = 0; i < 3; i++) {
			struct timespec a, b;

			ffclock_gettime(c, FFCLOCK_UTC, &a);
			auto t = i == 0 ? h.now<utc_clock>() : i == 1 ? h.read<utc_clock>().time :
				utc_clock::time_point(h.now<tai_clock>().time_since_epoch() - seconds(37));
			ffclock_gettime(c, FFCLOCK_UTC, &b);
			OK(t.time_since_epoch().count() >= a.tv_sec * 1000000000 + a.tv_nsec &&
			   t.time_since_epoch().count() <= b.tv_sec * 1000000000 + b.tv_nsec);
		}
		auto r = h.read<mono_clock>();
		OK(r.status == status::synchronized && r.epoch == 3 && r.bound && *r.bound >= 1ms);
		OK(h.read_at<mono_clock>(r.counter).time == r.time);
		OK(std::strcmp(to_string(r.status), "synchronized") == 0);
		OK(h.status() == status::synchronized && h.migration_sequence() == 5);

		auto before = h.now<mono_clock>(), after = h.now<mono_clock>();
		OK(after >= before && after - before < 1s);
		auto i = h.now();
		OK(i.synchronized() && i.latest - i.earliest >= 2ms && i.width() < 1s);
		OK(i.after(i.earliest - 1ns) && !i.after(i.earliest) && i.before(i.latest + 1ns));
		OK(abs(to_sys(h.now<utc_clock>()) - system_clock::now()) < 10s);

		auto c0 = h.counter(), c1 = h.counter();
		auto d = h.difference(c0, c1);
		OK(d.length >= 0ns && d.length < 1s && d.bound >= 0ns);
		std::uint32_t epoch = 0;
		h.counter(&epoch);
		OK(epoch == 3);
		OK(errno_of([&] { h.wait(0ms); }) == EOPNOTSUPP);

		handle moved = std::move(h);
		OK(moved.now<utc_clock>() > utc_clock::time_point() && !h.get());

		std::vector<std::thread> threads;
		std::vector<int> good(4, 0);
		for (int n = 0; n < 4; n++)
			threads.emplace_back([&, n] {
				auto last = moved.now<mono_clock>();
				for (int k = 0; k < 100000; k++) {
					auto t = moved.now<mono_clock>();
					if (t < last)
						return;
					last = t;
				}
				good[n] = 1;
			});
		for (auto &t : threads)
			t.join();
		OK(good == std::vector<int>(4, 1));

		use(std::move(moved));
		auto x = utc_clock::now(), y = utc_clock::now();
		OK(y >= x && abs(to_sys(x) - system_clock::now()) < 10s);
		OK(tai_clock::now().time_since_epoch() - utc_clock::now().time_since_epoch() > 36s);
		ffclock_close(c);
	}
	make("0 0");	/* unknown status; and then without a bound */
	{
		std::FILE *f = std::fopen(page.c_str(), "r+");
		unsigned char none[8] = { 0 };

		std::fseek(f, offsetof(struct ffclock_vmclock, flags), SEEK_SET);
		OK(std::fwrite(none, 8, 1, f) == 1);
		std::fclose(f);
		handle h(page);
		auto i = h.now();
		OK(!h.read<utc_clock>().bound && !i.synchronized() && h.status() == status::unknown);
		OK(i.earliest.time_since_epoch() == 0ns && i.latest == utc_clock::time_point::max() &&
		   i.width() == nanoseconds::max() && !i.after(h.now<utc_clock>()));
	}
	std::remove(page.c_str());
	std::printf("1..%d\n", points);
	return failures != 0;
}
