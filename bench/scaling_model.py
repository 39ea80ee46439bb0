#!/usr/bin/env python3
"""What a day's load takes: cores, bytes, partitions, money. docs/scaling.md shows its tables.

    bench/scaling_model.py            the tables, as Markdown
    bench/scaling_model.py --json     the same for programs

Costs are those that bench/ measured on two cores of an AMD EPYC (the cases are named beside them).
Prices are list prices of one provider (us-east-1, on demand), to be replaced by one's own.
"""

import argparse
import json
import math

# Measured: `bench/run --only products-to-root`, batches of 1,000.
OWN_CPU_US_PER_PRODUCT = 0.23
BROKER_CPU_US_PER_PRODUCT = 0.22
# Measured: CPU of the server's processes for 1,000,000 rows, with their primary key.
POSTGRES_CPU_US_PER_ROW = 1.6
# Measured: the log files of all topics after batches of 1,000; 49.1 of it is tokens-generated.
KAFKA_BYTES_PER_PRODUCT = 54
# Measured: table 126 bytes, primary key 53 bytes.
POSTGRES_BYTES_PER_ROW = 179
# Measured: the rate of one machine of two cores, broker and PostgreSQL included.
VIEW_ROWS_PER_S = 300_000
# Not measured, the lane is not built: a decision with its factors, ledger entry and headers.
KAFKA_BYTES_PER_SCAN = 700
SCAN_REPLICAS = 3

PARTITIONS = 12
PEAK_TO_MEAN = 10
HEADROOM = 0.5  # of a core or a connection, at the peak
SECONDS_PER_DAY = 86_400

# A virtual machine with 2 cores and 8 GiB, and a GiB of its SSD storage.
MACHINE_USD_PER_MONTH = 60.74
STORAGE_USD_PER_GB_MONTH = 0.08


def day(products: int, replicas: int, with_view: bool) -> dict:
    """What `products` a day take, the busiest second at PEAK_TO_MEAN times the mean."""
    peak_per_s = products / SECONDS_PER_DAY * PEAK_TO_MEAN
    cpu_us = OWN_CPU_US_PER_PRODUCT + BROKER_CPU_US_PER_PRODUCT * replicas
    view_us = POSTGRES_CPU_US_PER_ROW if with_view else 0
    kafka_gb = products * KAFKA_BYTES_PER_PRODUCT * replicas / 1e9
    view_gb = products * POSTGRES_BYTES_PER_ROW / 1e9 if with_view else 0
    return {
        "products_per_day": products,
        "replicas": replicas,
        "peak_per_s": peak_per_s,
        "peak_per_partition_per_s": peak_per_s / PARTITIONS,
        "cores_at_peak": peak_per_s * (cpu_us + view_us) / 1e6 / HEADROOM,
        "view_connections": math.ceil(peak_per_s / VIEW_ROWS_PER_S / HEADROOM) if with_view else 0,
        "kafka_gb_per_day": kafka_gb,
        "view_gb_per_day": view_gb,
        "storage_usd_after_a_year": (kafka_gb + view_gb) * 365 * STORAGE_USD_PER_GB_MONTH,
    }


def month_of_a_million_a_day() -> dict:
    """One machine with everything on it, as `./dev run` has it; storage at the end of a year."""
    load = day(1_000_000, 1, True)
    return {
        "machine_usd": MACHINE_USD_PER_MONTH,
        "storage_usd_first_month": (load["kafka_gb_per_day"] + load["view_gb_per_day"])
        * 30 * STORAGE_USD_PER_GB_MONTH,
        "storage_usd_after_a_year": load["storage_usd_after_a_year"],
    }


def cpu_s_per_million() -> dict:
    """CPU time of a million products on one machine, by whose it is."""
    parts = {"own": OWN_CPU_US_PER_PRODUCT, "broker": BROKER_CPU_US_PER_PRODUCT,
             "view": POSTGRES_CPU_US_PER_ROW}
    return parts | {"all": sum(parts.values())}


def scans(peak_per_s: int) -> dict:
    """Scans whose busiest second has so many; the mean is PEAK_TO_MEAN times less."""
    mean_per_s = peak_per_s / PEAK_TO_MEAN
    peak_mb_per_s = peak_per_s * KAFKA_BYTES_PER_SCAN / 1e6
    return {
        "mean_per_s": mean_per_s,
        "peak_per_s": peak_per_s,
        "peak_per_partition_per_s": peak_per_s / PARTITIONS,
        "us_for_each": PARTITIONS / peak_per_s * 1e6 * HEADROOM,
        "peak_mb_per_s_in": peak_mb_per_s,
        "peak_mb_per_s_on_disks": peak_mb_per_s * SCAN_REPLICAS,
        "kafka_tb_per_day": mean_per_s * KAFKA_BYTES_PER_SCAN * SCAN_REPLICAS
        * SECONDS_PER_DAY / 1e12,
    }


def tables() -> str:
    """The tables of docs/scaling.md."""
    lines = ["| products a day | replicas | at the peak | a partition | cores at the peak "
             "| connections of the view | Kafka, a day | view, a day |",
             "|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for products, replicas in ((1_000_000, 1), (100_000_000, 3), (1_000_000_000, 3)):
        load = day(products, replicas, True)
        lines.append(
            f"| {products:,} | {replicas} | {load['peak_per_s']:,.0f}/s "
            f"| {load['peak_per_partition_per_s']:,.0f}/s | {load['cores_at_peak']:.2g} "
            f"| {load['view_connections']} | {load['kafka_gb_per_day']:,.3g} GB "
            f"| {load['view_gb_per_day']:,.3g} GB |")
    month = month_of_a_million_a_day()
    lines += ["", "| a month of 1,000,000 products a day | USD |", "|---|---:|",
              f"| one machine, 2 cores, 8 GiB | {month['machine_usd']:.2f} |",
              f"| storage, first month | {month['storage_usd_first_month']:.2f} |",
              f"| storage, after a year of keeping everything | "
              f"{month['storage_usd_after_a_year']:.2f} |"]
    cpu = cpu_s_per_million()
    peak = day(1_000_000_000, 3, True)["peak_per_partition_per_s"]
    lines += ["", "| CPU | |", "|---|---:|",
              f"| of 1,000,000 products: own code | {cpu['own']:.2f} s |",
              f"| the broker | {cpu['broker']:.2f} s |",
              f"| the view of products | {cpu['view']:.2f} s |",
              f"| all three | {cpu['all']:.2f} s |",
              "| own code, of what one partition gets in the busiest second of a billion a day | "
              f"{peak * cpu['own'] / 1000:.1f} ms |",
              "", "| scans, mean | at the peak | a partition | time for each | into Kafka "
              "| on disks | Kafka, a day |", "|---:|---:|---:|---:|---:|---:|---:|"]
    for peak_per_s in (100_000, 1_000_000):
        load = scans(peak_per_s)
        lines.append(
            f"| {load['mean_per_s']:,.0f}/s | {peak_per_s:,}/s "
            f"| {load['peak_per_partition_per_s']:,.0f}/s | {load['us_for_each']:.0f} us "
            f"| {load['peak_mb_per_s_in']:,.0f} MB/s | {load['peak_mb_per_s_on_disks']:,.0f} MB/s "
            f"| {load['kafka_tb_per_day']:.1f} TB |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="for programs")
    if parser.parse_args().json:
        loads = [day(n, r, True) for n, r in ((10**6, 1), (10**8, 3), (10**9, 3))]
        print(json.dumps({"loads": loads, "month": month_of_a_million_a_day(),
                          "cpu_s_per_million": cpu_s_per_million(),
                          "scans": [scans(n) for n in (10**5, 10**6)]}, indent=2))
    else:
        print(tables())


if __name__ == "__main__":
    main()
